// Package traffic moves traffic between the targets of a deployment: it writes one position to a router and, where the
// router can tell, reads back what it does now. It never retries and never waits: whether and when to write again is
// decided elsewhere, from the kind of the answer.
//
// A write counts as done only when the router agrees with it afterwards. A router that cannot be read back is believed.
// As with any call, a write that got no answer is neither done nor failed: Ask tells, where the router can.
//
// Each kind of router is a file with one small type, and a line in the table of kinds.go.
package traffic
