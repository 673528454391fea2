// Package engine carries out what internal/strategy decides, durably and on any number of replicas.
//
// A replica claims deployments, and a session (session.go) works on each: apply what has come in, plan, write down what
// is about to be called, call, and again. Between two steps a session is a timer, not a goroutine.
//
// What must stay true:
//   - no call starts before the save that holds its intent has landed;
//   - every save is fenced by owner and epoch, and by the operator's revision that it was planned on;
//   - a call that got no answer is unknown until its target was asked;
//   - a replica that cannot renew its heartbeat has cut all its calls before others may take over (lease.go).
package engine
