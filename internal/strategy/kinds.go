package strategy

import (
	"slices"
	"strings"

	"rollcall/internal/rollout"
)

// The types that more than one file speaks of.
const (
	rollingType   = "rolling"
	blueGreenType = "blue_green"
)

// Kind describes a strategy to people.
type Kind struct {
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

// definition is one strategy: what it is called, and how its parameters become waves.
type definition struct {
	Kind
	// refuses names common parameters that make no sense for it.
	refuses []string
	// resolve reads its own parameters into s and answers with the waves for n targets, n ≥ 1.
	resolve func(p *params, n int, s *rollout.Strategy) []rollout.Wave
	// exceeded says why more targets have failed than the strategy tolerates; empty while it does.
	exceeded func(p *planner) string
	// choose names the targets that the waves take; nil takes all. It may refuse them.
	choose func(p *params, targets []rollout.Target, activeSlot string) []bool
}

// definitions is the table of strategies: a new one is a file and a line here.
func definitions() []definition {
	return []definition{
		rolling(),
		blueGreen(),
		canary(),
	}
}

// Kinds lists the strategies with all their parameters.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(definitions()))
	for _, d := range definitions() {
		for _, p := range commonParameters() {
			if !slices.Contains(d.refuses, p.Name) {
				d.Parameters = append(d.Parameters, p)
			}
		}
		kinds = append(kinds, d.Kind)
	}
	return kinds
}

func define(name string) (definition, bool) {
	for _, d := range definitions() {
		if d.Type == name {
			return d, true
		}
	}
	return definition{}, false
}

func knownTypes() string {
	var names []string
	for _, d := range definitions() {
		names = append(names, d.Type)
	}
	return strings.Join(names, ", ")
}
