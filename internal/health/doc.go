// Package health carries out one probe of one target. It keeps nothing between probes: streaks, thresholds and the
// time of the next probe are decided elsewhere.
//
// A target that does not answer, or answers wrongly, is unhealthy. Unknown is kept for a check that could not be
// carried out or whose number was not there: it never passes either.
//
// Each kind of check is one file and one line in the table of New.
package health
