package strategy

import (
	"slices"

	"rollcall/internal/rollout"
)

// The strategies that rollbacks of finished deployments use.
const (
	TypeRolling   = "rolling"
	TypeBlueGreen = "blue_green"
)

// Description describes a strategy to users.
type Description struct {
	Type       string
	Summary    string
	Parameters []Parameter
}

// Parameter describes one parameter of a strategy. Default is the JSON value in force when it is left out.
type Parameter struct {
	Name        string
	Type        string
	Default     string
	Description string
}

// Kind is one strategy: its name, how its parameters become waves, when too much has failed, and how the targets in service
// share traffic.
type Kind struct {
	Description
	// rejects names common parameters that make no sense for it.
	rejects []string
	// resolve reads its own parameters into s and answers with the waves for n targets, n ≥ 1.
	resolve func(p *params, n int, s *rollout.Strategy) []rollout.Wave
	// FailureLimit returns why more targets have failed than the strategy tolerates, or "" while it tolerates them.
	FailureLimit func(s *rollout.Strategy, f Failures) string
	// selectTargets names the targets that the waves take; nil takes all. It may refuse them.
	selectTargets func(p *params, targets []rollout.Target, activeSlot string) []bool
	// WeightPerTarget gives every target that serves the same, whatever it runs; else each side has a share.
	WeightPerTarget bool
	// LimitExposure exposes the version to no more than the share of a stage: targets that run it already come first, so that a
	// repeated one exposes no others, and get no traffic before they are verified.
	LimitExposure bool
	// SwitchesSides moves traffic from one whole side to the other: between two slots, or of all targets where there are none.
	SwitchesSides bool
}

// allKinds returns the table of strategies: a new one is a file and a line here.
func allKinds() []Kind {
	return []Kind{
		rollingKind(),
		blueGreenKind(),
		canaryKind(),
	}
}

// DescribeAll lists the strategies with all their parameters.
func DescribeAll() []Description {
	var list []Description
	for _, k := range allKinds() {
		for _, p := range commonParameters() {
			if !slices.Contains(k.rejects, p.Name) {
				k.Parameters = append(k.Parameters, p)
			}
		}
		list = append(list, k.Description)
	}
	return list
}

// KindOf returns the strategy of a name, and whether there is one.
func KindOf(name string) (Kind, bool) {
	for _, k := range allKinds() {
		if k.Type == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Types lists the strategies by name.
func Types() []string {
	var names []string
	for _, k := range allKinds() {
		names = append(names, k.Type)
	}
	return names
}
