// Package target calls the deploy webhook of a target: one signed POST per call, and an answer that says what is known
// afterwards. It never retries and never waits: whether, when and how to call again is decided elsewhere, from the
// kind of the answer.
//
// The line between "certainly not sent" and "nobody knows" is drawn at the connection: before there is one (TLS
// handshake included) nothing of the request can have been written; after it anything can have happened.
package target
