// Package pg is what the store's packages need of PostgreSQL: a pool of connections with session settings, transactions that
// are run again after a lost race, queries, values that may be NULL, cursors, errors, and notifications.
//
// A query in the context of a keyed request is part of that request's transaction; see WithTx.
package pg
