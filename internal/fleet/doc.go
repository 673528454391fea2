// Package fleet is a fleet of pretend targets for the demo and for tests: real HTTP servers that take the deploy
// webhook, tell their health and version, write down every call that reached them, and misbehave when asked to.
//
//	POST /deploy   takes the call and runs its version; verifies nothing
//	GET  /health   {"status":"pass","version":"v1"}, or 503 and "fail"
//	GET  /version  {"version":"v1"}
//
// What a fleet wrote down is the other side's account of a rollout: order, overlap, fences, ids and bodies as they came.
package fleet
