package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/rollout"
)

// grid is the targets of a deployment, wave by wave.
type grid struct {
	Waves []waveCells
	// Size is how much room a cell has: "large" with its name, "medium", "small".
	Size  string
	Total int
	// Trouble are the targets that a person should look at.
	Trouble []rollout.Target
	Old     []versionCount
	Legend  []stateCount
}

// waveCells are the targets of one wave; Number is 0 for those that no wave takes.
type waveCells struct {
	Number  int
	About   string
	Targets []rollout.Target
}

type stateCount struct {
	State   rollout.TargetState
	Targets int
}

// The most targets whose cells have room for a name, or for a large letter.
const (
	mostLarge   = 40
	mostMedium  = 600
	mostTrouble = 20
)

func makeGrid(d *rollout.Deployment, targets []rollout.Target) grid {
	g := grid{Size: sizeFor(len(targets)), Total: len(targets), Trouble: trouble(targets), Old: oldVersions(targets), Legend: legend(targets)}
	waves := make([][]rollout.Target, len(d.Spec.Waves)+1)
	for i := range targets {
		n := targets[i].Wave
		if n < 0 || n >= len(waves) {
			n = 0
		}
		waves[n] = append(waves[n], targets[i])
	}
	for n := 1; n < len(waves); n++ {
		g.Waves = append(g.Waves, waveCells{Number: n, About: aboutWave(d, n), Targets: waves[n]})
	}
	if len(waves[0]) > 0 {
		g.Waves = append(g.Waves, waveCells{About: "not part of any wave", Targets: waves[0]})
	}
	return g
}

func sizeFor(n int) string {
	switch {
	case n <= mostLarge:
		return "large"
	case n <= mostMedium:
		return "medium"
	default:
		return "small"
	}
}

// aboutWave says what a wave does once its targets are verified.
func aboutWave(d *rollout.Deployment, n int) string {
	w := d.Spec.Waves[n-1]
	parts := []string{count(w.Size, "target")}
	if d.Spec.Traffic != nil {
		parts = append(parts, fmt.Sprintf("then %d %% of traffic", w.Weight))
	}
	if w.Bake > 0 {
		parts = append(parts, "watched for "+w.Bake.String())
	}
	switch w.Gate {
	case rollout.GateSwitch:
		parts = append(parts, "waits for a person before its traffic")
	case rollout.GateNext:
		parts = append(parts, "waits for a person before the next wave")
	}
	if w.Delay > 0 {
		parts = append(parts, "then a pause of "+w.Delay.String())
	}
	return strings.Join(parts, " · ")
}

func trouble(targets []rollout.Target) []rollout.Target {
	var found []rollout.Target
	for i := range targets {
		t := &targets[i]
		if t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown || t.Error != "" && t.State != rollout.TargetUpdated {
			found = append(found, *t)
		}
		if len(found) == mostTrouble {
			break
		}
	}
	return found
}

// oldVersions are what targets ran before, the most frequent first.
func oldVersions(targets []rollout.Target) []versionCount {
	sums := map[string]int{}
	for i := range targets {
		before := targets[i].PreviousVersion
		if before == "" && !targets[i].Touched() {
			before = targets[i].Version
		}
		sums[before]++
	}
	list := make([]versionCount, 0, len(sums))
	for version, n := range sums {
		list = append(list, versionCount{version, n})
	}
	slices.SortFunc(list, func(a, b versionCount) int {
		return cmp.Or(cmp.Compare(b.Targets, a.Targets), cmp.Compare(a.Version, b.Version))
	})
	return list
}

func legend(targets []rollout.Target) []stateCount {
	list := make([]stateCount, 0, len(targetStates()))
	for _, state := range targetStates() {
		n := 0
		for i := range targets {
			if targets[i].State == state {
				n++
			}
		}
		list = append(list, stateCount{state, n})
	}
	return list
}

// targetStates are the states of a target in the order of its way.
func targetStates() []rollout.TargetState {
	return []rollout.TargetState{
		rollout.TargetUpdated, rollout.TargetVerifying, rollout.TargetDeploying, rollout.TargetPending, rollout.TargetFailed,
		rollout.TargetUnknown, rollout.TargetRollingBack, rollout.TargetRolledBack, rollout.TargetUnchanged,
	}
}

// targetsPage is the targets as a list.
type targetsPage struct {
	D       rollout.Deployment
	State   rollout.TargetState
	States  []stateCount
	Targets []rollout.Target
	From    int
	Next    int
	Found   int
}

const targetsPerPage = 200

// showTargets lists targets, all or those in one state.
func (s *site) showTargets(v *visit) error {
	d, err := s.deployment(v)
	if err != nil {
		return err
	}
	targets, err := s.targets(v, d.ID)
	if err != nil {
		return err
	}
	page := targetsPage{D: d, State: rollout.TargetState(v.r.FormValue("state")), States: legend(targets)}
	page.Targets = slices.DeleteFunc(targets, func(t rollout.Target) bool { return page.State != "" && t.State != page.State })
	page.Found = len(page.Targets)
	if _, err := fmt.Sscanf(v.r.FormValue("from"), "%d", &page.From); err != nil || page.From < 0 || page.From > page.Found {
		page.From = 0
	}
	page.Targets = page.Targets[page.From:]
	if len(page.Targets) > targetsPerPage {
		page.Targets, page.Next = page.Targets[:targetsPerPage], page.From+targetsPerPage
	}
	s.show(v, "page_targets.html", "Targets of "+d.Service+" in "+d.Environment, "history", page)
	return nil
}
