// Package strategy decides what a deployment does next. It is pure: no clock, no I/O, no randomness; the same snapshot
// at the same time always gives the same decision.
//
// Prepare resolves a request into waves of targets. A strategy is one small file (rolling.go) and one line in kinds.go: how
// its parameters become waves, when too much has failed, and how those who serve share traffic. Plan turns (snapshot, now)
// into a Decision, for all strategies and for the way back. Begin, Apply and Move (target.go), Adopt and Excuse (adopt.go)
// hold every transition of a target, BeginRoute (router.go) that of the router. Ask and CallOff (verbs.go) are what people
// ask for; Undo and Retry make a deployment of one that has ended; Conclude is its result.
//
// Every decision has actions, moves, a change of status or a time in the future to look again; never none, and never
// the same actions on the same facts.
package strategy
