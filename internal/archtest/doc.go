// Package archtest enforces the architecture: allowed imports, the purity of the planner, that a target's
// transitions stay in one place, and the words of the glossary. It holds tests only; each rule has its reason.
package archtest
