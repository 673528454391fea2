// Package strategy decides what a deployment does next. It is pure: no clock, no I/O, no randomness; the same snapshot
// at the same time always gives the same decision.
//
// Prepare resolves a request into waves of targets; that is all that one strategy differs from another in, so each is
// one small file (rolling.go) and one line in kinds. Plan turns (snapshot, now) into a Decision, for all strategies and
// for the way back. Begin, Apply and Move (target.go), Adopt and Excuse (adopt.go) hold
// every transition of a target.
//
// Every decision has actions, moves, a change of status or a time in the future to look again; never none, and never
// the same actions on the same facts.
package strategy
