package engine

import (
	"testing"
	"time"
)

func TestGather_WaitsOnlyForOutcomesThatCome(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		targets, inFlight, arrived int
		want                       time.Duration
	}{
		"nothing has arrived":       {1000, 100, 0, 0},
		"all have arrived":          {1000, 100, 100, 0},
		"nothing is in flight":      {10_000, 0, 0, 0},
		"few are to come":           {50, 5, 1, 0},
		"a wave is to come":         {1000, 100, 1, time.Millisecond},
		"much is to be planned":     {5000, 5, 1, time.Millisecond},
		"a large wave is to come":   {10_000, 1000, 1, maxGather},
		"the largest of all waits":  {100_000, 100_000, 1, maxGather},
		"the last ones are to come": {200, 20, 19, 200 * time.Microsecond},
	} {
		if got := gatherTime(test.targets, test.inFlight, test.arrived); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
