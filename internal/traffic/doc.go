// Package traffic moves traffic between the targets of a deployment: it writes one split to a router and, where the
// router can be read, reads what it does now. It never retries, never waits and never compares: whether the router does what it
// should, and whether and when to write again, is decided elsewhere, from answers and readings.
//
// As with any call, a write that got no answer is neither done nor failed: Read shows which, where the router can be read.
//
// Each kind of router is a file with one small type, and a line in the table of kinds.go.
package traffic
