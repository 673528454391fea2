// Package keyring encrypts secrets at rest: AES-256-GCM, bound to the row and column of each, so that write access to the
// database does not allow moving one to another use.
//
// A sealed secret is a version byte, the length of its key's id, the id, and the output of Go's GCM with random nonces: the
// nonce, the ciphertext and the tag. Everything before the nonce is authenticated together with the context.
package keyring
