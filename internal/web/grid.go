package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/rollout"
)

// grid shows the targets of a deployment, by wave.
type grid struct {
	Waves []waveCells
	// Size is the size of a cell: "large" (with the target's id), "medium" or "small".
	Size  string
	Total int
	// Problems are the targets that failed or are unknown.
	Problems []rollout.Target
	Old      []versionCount
	Legend   []stateCount
}

// waveCells are the targets of one wave; Number is 0 for targets without one.
type waveCells struct {
	Number  int
	About   string
	Targets []rollout.Target
}

type stateCount struct {
	State rollout.TargetState
	Count int
}

// The maximum numbers of targets for large and medium cells, and of problems listed.
const (
	maxLarge    = 40
	maxMedium   = 600
	maxProblems = 20
)

func makeGrid(d *rollout.Deployment, targets []rollout.Target) grid {
	g := grid{Size: sizeFor(len(targets)), Total: len(targets), Problems: problemTargets(targets), Old: oldVersions(targets), Legend: countStates(targets)}
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
		g.Waves = append(g.Waves, waveCells{About: "in no wave", Targets: waves[0]})
	}
	return g
}

func sizeFor(n int) string {
	switch {
	case n <= maxLarge:
		return "large"
	case n <= maxMedium:
		return "medium"
	default:
		return "small"
	}
}

// aboutWave describes a wave.
func aboutWave(d *rollout.Deployment, n int) string {
	w := d.Spec.Waves[n-1]
	parts := []string{countNoun(w.Size, "target")}
	if d.Spec.Traffic != nil {
		parts = append(parts, fmt.Sprintf("then %d %% of traffic", w.Weight))
	}
	if w.Bake > 0 {
		parts = append(parts, "bake "+w.Bake.String())
	}
	switch w.Gate {
	case rollout.GateSwitch:
		parts = append(parts, "gate before the traffic shift")
	case rollout.GateNext:
		parts = append(parts, "gate before the next wave")
	}
	if w.Delay > 0 {
		parts = append(parts, "then a delay of "+w.Delay.String())
	}
	return strings.Join(parts, " · ")
}

func problemTargets(targets []rollout.Target) []rollout.Target {
	var found []rollout.Target
	for i := range targets {
		t := &targets[i]
		if t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown || t.Error != "" && t.State != rollout.TargetUpdated {
			found = append(found, *t)
		}
		if len(found) == maxProblems {
			break
		}
	}
	return found
}

// oldVersions returns what targets ran before, the most frequent first.
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
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Version, b.Version))
	})
	return list
}

func countStates(targets []rollout.Target) []stateCount {
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

// targetStates returns the states of a target in the order of the legend.
func targetStates() []rollout.TargetState {
	return []rollout.TargetState{
		rollout.TargetUpdated, rollout.TargetVerifying, rollout.TargetDeploying, rollout.TargetPending, rollout.TargetFailed,
		rollout.TargetUnknown, rollout.TargetRollingBack, rollout.TargetRolledBack, rollout.TargetUnchanged,
	}
}

// targetsPage lists the targets.
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
func (s *site) showTargets(v *pageRequest) error {
	d, err := s.readDeployment(v)
	if err != nil {
		return err
	}
	targets, err := s.readTargets(v, d.ID)
	if err != nil {
		return err
	}
	page := targetsPage{D: d, State: rollout.TargetState(v.r.FormValue("state")), States: countStates(targets)}
	page.Targets = slices.DeleteFunc(targets, func(t rollout.Target) bool { return page.State != "" && t.State != page.State })
	page.Found = len(page.Targets)
	if _, err := fmt.Sscanf(v.r.FormValue("from"), "%d", &page.From); err != nil || page.From < 0 || page.From > page.Found {
		page.From = 0
	}
	page.Targets = page.Targets[page.From:]
	if len(page.Targets) > targetsPerPage {
		page.Targets, page.Next = page.Targets[:targetsPerPage], page.From+targetsPerPage
	}
	s.renderPage(v, "page_targets.html", "Targets of "+d.Service+" in "+d.Environment, "history", page)
	return nil
}
