// Package target calls the deploy webhook of a target: one signed POST per call, and an answer that says what is known
// afterwards. It never retries and never waits: whether, when and how to call again is decided elsewhere, from the
// kind of the answer.
package target
