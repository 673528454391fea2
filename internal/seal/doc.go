// Package seal keeps secrets unreadable at rest: AES-256-GCM, bound to the place where each is kept, so that nobody who
// can write to the database moves one to where it would be used for something else.
//
// A sealed secret is a version byte, the length of its key's id, the id, and what Go's GCM with random nonces gives: the
// nonce, the ciphertext and the tag. All that stands before the nonce is authenticated together with the place.
package seal
