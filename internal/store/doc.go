// Package store keeps deployments in PostgreSQL.
//
// Everything that must be true at once is written in one transaction: a deployment with its targets, its first event and
// its idempotency key; a decision of the engine with the targets, events and memory that belong to it; a command with its
// event. Three rules hold for all writes:
//
//   - The row of a deployment is locked before anything of it is written, and its events are numbered under that lock: no
//     gaps, no doubles, whichever process writes.
//   - A write of the engine carries owner, epoch and the number of saves that it believes in. It lands whole, or not at
//     all; repeated after a lost answer it changes nothing and answers the same.
//   - Time is the database's clock. A replica's own clock decides nothing here.
//
// Notifications only wake: a listener must also look by itself from time to time.
package store
