// Package notify tells receivers what becomes of deployments: it claims deliveries from the outbox, makes the calls, and
// writes down what came of each. How a receiver is spoken to is its kind; each kind is one file and one line in kinds.go.
//
// A delivery is tried until the receiver has taken it, or for a day; each attempt has the same id. Of one receiver a replica
// tries a few at once, and those of one deployment in their order: a receiver that hangs holds up only itself.
package notify
