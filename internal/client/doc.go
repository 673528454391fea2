// Package client asks a Rollcall server, and goes on asking while it is being restarted.
//
// Every request of this package may be repeated: reading changes nothing, a verb answers the same when it is repeated, and
// a creation carries a key. So a request whose answer was lost is sent again until its patience is over, and the caller
// learns of it only through Notice.
package client
