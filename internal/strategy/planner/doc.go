// Package planner decides what a deployment does next. Plan turns (snapshot, now) into a decision.
//
// Every decision has actions, transitions, a change of status or a time in the future at which to plan again; never none, and
// never the same actions on the same facts.
package planner
