// Package health runs one probe of one target. It keeps no state between probes: streaks, thresholds and the
// time of the next probe are decided elsewhere.
//
// A target that does not respond, or responds wrongly, is unhealthy. Unknown is for a check that could not be
// run or whose metric was missing: it does not pass either.
//
// Each kind of check is one file and one line in the table of New.
package health
