// Package egress makes the calls that leave this server: over a dialer that its user chooses (a guarded one), with TLS
// of at least 1.2, on a connection of their own, never sent twice, never redirected, and with every part of the answer
// bounded. Webhooks are signed as Standard Webhooks 1.0 says.
//
// The line between "certainly not sent" and "unknown" is drawn at the connection: before there is one (TLS
// handshake included) nothing of the request can have been written; after it anything can have happened.
package egress
