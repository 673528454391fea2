package chaos

import (
	"reflect"
	"testing"
	"time"
)

var size = Size{Replicas: 3, Services: 9, Deployments: 3, Steps: 6, DatabaseSteps: 4, RouterSteps: 3, Lease: 2 * time.Second}

func TestGenerate_SameSeedSameScenario(t *testing.T) {
	t.Parallel()
	if !reflect.DeepEqual(GenerateSchedule(7, 3, size), GenerateSchedule(7, 3, size)) {
		t.Error("the same seed and round drew two schedules")
	}
	for _, other := range []Schedule{GenerateSchedule(7, 4, size), GenerateSchedule(8, 3, size)} {
		if reflect.DeepEqual(GenerateSchedule(7, 3, size), other) {
			t.Error("another seed or round drew the same schedule")
		}
	}
}

func TestGenerate_FullRoundPlansEveryFaultKind(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		planned := map[Kind]bool{}
		s := GenerateSchedule(seed, 0, size)
		for _, steps := range append(s.Replicas, s.Database) {
			for _, step := range steps {
				planned[step.Kind] = true
			}
		}
		for _, plans := range s.Services {
			for _, plan := range plans {
				planned[plan.Fault] = true
			}
		}
		for _, kind := range AllKinds() {
			if !planned[kind] {
				t.Errorf("seed %d plans no %q", seed, kind)
			}
		}
	}
}

func TestGenerate_FreezeOutlastsLease(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		for _, steps := range GenerateSchedule(seed, 0, size).Replicas {
			for _, step := range steps {
				if step.Kind == Freeze && step.For <= size.Lease {
					t.Errorf("seed %d freezes for %s with a lease of %s", seed, step.For, size.Lease)
				}
			}
		}
	}
}
