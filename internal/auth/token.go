package auth

import (
	"crypto/rand"
	"encoding/base64"
	"strings"

	"rollcall/internal/secret"
)

// prefix starts every token, so that people, and programs that search for leaked secrets, know it for what it is.
const prefix = "rct_"

const randomBytes = 32

// newToken makes a new token.
func newToken() secret.Secret {
	var bits [randomBytes]byte
	_, _ = rand.Read(bits[:]) // never fails: it ends the program where there is no randomness
	return secret.Secret(prefix + base64.RawURLEncoding.EncodeToString(bits[:]))
}

// isToken reports whether newToken may have made the token; nothing else is looked up in the database.
func isToken(token string) bool {
	encoded, found := strings.CutPrefix(token, prefix)
	bits, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return found && err == nil && len(bits) == randomBytes
}
