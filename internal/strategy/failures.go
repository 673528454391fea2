package strategy

import (
	"fmt"

	"rollcall/internal/rollout"
)

// failures counts the targets that a deployment failed to update.
type failures struct {
	failed   int    // all of them
	forgiven int    // those before the last resume, which count neither way
	reached  int    // the targets of all waves that have started, whatever their outcome
	last     string // the latest failure, "" when there is none
}

// pastMaxFailures returns why more targets have failed than max_failures allows, or "".
func pastMaxFailures(s *rollout.Strategy, f failures) string {
	tolerated := *s.MaxFailures
	if f.failed-f.forgiven <= tolerated {
		return ""
	}
	return fmt.Sprintf("%s failed, %d tolerated; the last: %s", quantity(f.failed, "target"), tolerated, f.last)
}

// quantity returns a number with its noun, in the plural unless the number is 1.
func quantity(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
