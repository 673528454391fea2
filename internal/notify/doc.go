// Package notify notifies receivers of deployments: it claims deliveries from the outbox, makes the calls, and records the
// results. A receiver's kind is its protocol; each kind is one file and one line in kinds.go.
//
// A delivery is tried until the receiver accepts it, or for a day; each attempt has the same id. For one receiver a replica
// tries a few at once, and those of one deployment in order: a receiver that hangs delays only itself.
package notify
