// Package engine executes what internal/strategy decides, durably and on any number of replicas.
//
// A replica claims deployments, and a session (session.go) works on each: apply outcomes, plan, store the intents, call, and
// repeat. Between two steps a session is a timer, not a goroutine.
//
// What must stay true:
//   - no call starts before its intent is stored;
//   - every save is fenced by owner and epoch, and by the operator's revision that it was planned on;
//   - a call without a response is in doubt until its target was read;
//   - a replica that cannot renew its lease has cancelled all its calls before others may take over (lease.go).
package engine
