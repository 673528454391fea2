// Package rollout holds Rollcall's words: what a deployment, a target, a wave, a check, a call and a decision are.
// Every other package speaks in these types;
// this one does no I/O and imports, besides the standard library, only smaller packages of types.
//
// A zero time.Time means "has not happened" and an empty version means "not known", everywhere. Types that carry
// JSON tags are also the stored form: their fields may be added to, never renamed or given another type.
package rollout
