// Package traffic moves traffic between the targets of a deployment: it writes one position to a router and, where the
// router can tell, reads what it does now. It never retries, never waits and never compares: whether the router does what it
// should, and whether and when to write again, is decided elsewhere, from answers and readings.
//
// As with any call, a write that got no answer is neither done nor failed: Read tells, where the router can.
//
// Each kind of router is a file with one small type, and a line in the table of kinds.go.
package traffic
