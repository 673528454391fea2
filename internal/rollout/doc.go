// Package rollout is the core of Rollcall: what a deployment, a target, a wave, a call, an event and a decision are.
// Every package above uses these types;
// this one does no I/O and imports, besides the standard library, only smaller packages of types.
//
// A zero time.Time means "has not happened" and an empty version means "not known", everywhere. Types that carry
// JSON tags are also the stored form: their fields may be added to, never renamed or given another type.
package rollout
