// Package slowtest marks the tests that are slow by nature: they wait for real time, or repeat a rollout many times.
// `make test` leaves them out, `make test-slow` runs them and nothing else, and CI runs both.
package slowtest

import (
	"os"
	"testing"
)

// Variable names the environment variable that lets slow tests run.
const Variable = "ROLLCALL_SLOW"

// Mark skips the test unless slow tests are asked for. It is the first statement of a top-level test, where scripts/slow-tests
// finds it.
func Mark(t *testing.T) {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skipf("slow: make test-slow runs it (%s=1)", Variable)
	}
}
