package strategy

import (
	"time"

	"rollcall/internal/rollout"
)

// Bounds of a strategy's durations.
const (
	defaultProgressDeadline = 10 * time.Minute
	minProgressDeadline     = time.Second
	maxDuration             = 30 * 24 * time.Hour
)

func commonParameters() []Parameter {
	return []Parameter{
		{"on_failure", "string", `"rollback"`, "what happens once failures pass max_failures: rollback, pause or halt"},
		{"max_failures", "integer or percentage", "0", "how many targets may fail; a percentage is rounded down"},
		{"progress_deadline", "duration", `"10m"`, "how long the deployment may go without a target verified"},
		{"bake", "duration", `"0s"`, "how long each wave is watched after it was verified"},
	}
}

// resolveCommon reads the parameters that every strategy has.
func resolveCommon(p *params, n int, s *rollout.Strategy) {
	s.OnFailure = rollout.OnFailure(p.readChoice("on_failure", string(rollout.OnFailureRollback),
		string(rollout.OnFailureRollback), string(rollout.OnFailurePause), string(rollout.OnFailureHalt)))
	if p.accepts("max_failures") {
		tolerated := p.readCountOrPercent("max_failures", n)
		s.MaxFailures = &tolerated
	}
	s.ProgressDeadline = p.readDuration("progress_deadline", defaultProgressDeadline, minProgressDeadline)
	s.Bake = p.readDuration("bake", 0, 0)
}
