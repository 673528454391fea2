package slowtest

import (
	"os"
	"os/exec"
	"testing"
)

// ContainersVariable names the environment variable that lets tests on a Docker engine run.
const ContainersVariable = "ROLLCALL_CONTAINERS"

// RequireEngine skips the test unless containers are asked for and there is a Docker engine. It takes the place of Mark.
func RequireEngine(t *testing.T) {
	t.Helper()
	if os.Getenv(ContainersVariable) == "" {
		t.Skipf("on containers: make test-containers runs it (%s=1)", ContainersVariable)
	}
	if out, err := exec.CommandContext(t.Context(), "docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		t.Skipf("no Docker engine: %v %s", err, out)
	}
}
