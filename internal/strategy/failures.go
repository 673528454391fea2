package strategy

import (
	"fmt"

	"rollcall/internal/rollout"
)

// Failures counts the targets that a deployment failed to update.
type Failures struct {
	Failed   int    // all of them
	Forgiven int    // those before the last resume, which count neither way
	Reached  int    // the targets of all waves that have started, whatever their outcome
	Last     string // the latest failure, "" when there is none
}

// pastMaxFailures returns why more targets have failed than max_failures allows, or "".
func pastMaxFailures(s *rollout.Strategy, f Failures) string {
	tolerated := *s.MaxFailures
	if f.Failed-f.Forgiven <= tolerated {
		return ""
	}
	return fmt.Sprintf("%s failed, %d tolerated; the last: %s", FormatQuantity(f.Failed, "target"), tolerated, f.Last)
}

// FormatQuantity returns a number with its noun, in the plural unless the number is 1.
func FormatQuantity(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
