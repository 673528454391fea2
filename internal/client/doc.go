// Package client calls a Rollcall server's API, and keeps retrying while the server restarts.
//
// Every request may be repeated: reads change nothing, a repeated command has no further effect, and a creation carries an
// idempotency key. So a request whose response was lost is sent again for as long as Config.RetryFor, and the caller
// learns of it only through Config.OnOutage.
package client
