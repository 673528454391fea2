package strategy

import (
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// slotsOfBlueGreen is how many slots a blue-green deployment has, if it has any.
const slotsOfBlueGreen = 2

// blueGreenKind returns the strategy that updates one whole side, verifies all of it, switches, and watches it while the old side is kept.
func blueGreenKind() Kind {
	return Kind{
		Description: Description{
			Type:    TypeBlueGreen,
			Summary: "one whole side, verified before the switch; the old side is kept for a while",
			Parameters: []Parameter{
				{"max_parallel", "integer", "0", "how many targets are updated at once; 0 means all"},
				{"promotion", "string", `"auto"`, "manual waits for promotion before the switch"},
				{"keep_old_for", "duration", `"0s"`, "how long the new side is watched, and the old one kept, after the switch"},
			},
		},
		resolve:       resolveBlueGreen,
		FailureLimit:  pastMaxFailures,
		selectTargets: chooseIdle,
		SwitchesSides: true,
	}
}

func resolveBlueGreen(p *params, n int, s *rollout.Strategy) []rollout.Wave {
	parallel := p.readCount("max_parallel")
	s.MaxParallel = &parallel
	keep := p.readDuration("keep_old_for", 0, 0)
	s.KeepOldFor = &keep
	s.Promotion = p.readChoice("promotion", promoteAuto, promoteAuto, promoteManual)
	w := rollout.Wave{Size: n, Parallel: n, Weight: lifecycle.AllTraffic, Bake: s.Bake + keep}
	if parallel > 0 {
		w.Parallel = min(parallel, n)
	}
	if s.Promotion == promoteManual {
		w.Gate = rollout.GateSwitch
	}
	return []rollout.Wave{w}
}

// chooseIdle takes the targets of the slot that does not serve; without slots it takes all.
func chooseIdle(p *params, targets []rollout.Target, activeSlot string) []bool {
	slots := map[string]bool{}
	for i := range targets {
		slots[targets[i].Slot] = true
	}
	chosen := make([]bool, len(targets))
	plain := len(slots) == 1 && slots[""]
	if !plain && (len(slots) != slotsOfBlueGreen || slots[""]) {
		p.problems = append(p.problems, problem.FieldError{
			Pointer: "/targets", Detail: "blue_green needs every target in one of exactly two slots, or none in any",
		})
	}
	if !slots[activeSlot] {
		activeSlot = targets[0].Slot
	}
	for i := range targets {
		chosen[i] = plain || targets[i].Slot != activeSlot
	}
	return chosen
}
