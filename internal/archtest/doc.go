// Package archtest keeps the architecture true: who may import whom, that the planner is pure, and that a target's
// transitions stay in one place. It holds tests only; each rule says why it is there.
package archtest
