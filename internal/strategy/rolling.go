package strategy

import (
	"rollcall/internal/rollout"
)

// rollingKind returns the strategy that updates the targets in waves of batch_size; the next wave starts when all of one are verified, baked, and
// batch_delay is over.
func rollingKind() Kind {
	return Kind{
		Description: Description{
			Type:    TypeRolling,
			Summary: "waves in order; never more than one wave out of service at once",
			Parameters: []Parameter{
				{
					"batch_size", "integer, percentage or growing list of them", "1",
					"targets per wave; a percentage is rounded down, to at least 1; the last of a list repeats",
				},
				{"batch_delay", "duration", `"0s"`, "the wait between one wave and the next"},
			},
		},
		resolve:         resolveRolling,
		FailureLimit:    pastMaxFailures,
		WeightPerTarget: true,
	}
}

func resolveRolling(p *params, n int, s *rollout.Strategy) []rollout.Wave {
	s.BatchSize = p.readSizes("batch_size", n)
	delay := p.readDuration("batch_delay", 0, 0)
	s.BatchDelay = &delay
	if len(s.BatchSize) == 0 {
		return nil
	}
	var waves []rollout.Wave
	for done := 0; done < n; {
		size := min(s.BatchSize[min(len(waves), len(s.BatchSize)-1)], n-done)
		done += size
		waves = append(waves, rollout.Wave{
			Size: size, Parallel: size, Weight: done * 100 / n, Bake: s.Bake, Delay: delay,
		})
	}
	waves[len(waves)-1].Delay = 0
	return waves
}
