// Package strategy holds the deployment strategies. A strategy is one small file (rolling.go) and one line in kinds.go: how
// its parameters become waves, when too much has failed, and how the targets in service share traffic. Prepare resolves a
// request into waves of targets.
//
// It is the second of four packages in a line, each of which imports only those before it:
//
//   - lifecycle: every transition of a target, of the router and of a deployment
//   - strategy: the strategies and Prepare
//   - planner: Plan turns (snapshot, now) into a decision, for all strategies, forward and back
//   - command: the operators' commands, and the deployments that roll back or retry a finished one
//
// All four are pure: no clock, no I/O, no randomness; the same snapshot at the same time always gives the same decision.
package strategy
