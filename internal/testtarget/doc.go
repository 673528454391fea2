// Package testtarget is a fleet of pretend targets for the demo and for tests: real HTTP servers that take the deploy
// webhook, report their health and version, record every call that reached them, and misbehave on request.
//
//	POST /deploy   takes the call and runs its version; verifies nothing
//	GET  /health   {"status":"pass","version":"v1"}, or 503 and "fail"
//	GET  /version  {"version":"v1"}
//
// The journal of a fleet is the targets' account of a rollout: order, overlap, fences, ids and bodies as they came.
package testtarget
