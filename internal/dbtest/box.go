package dbtest

import (
	"testing"

	"rollcall/internal/keyring"
)

// Key is the key of all tests, so that stores of one database open what another sealed.
const Key = "test:NvVv/iA6EeGwvNVfSD2LhAotX4kZ0VbUdw4b3MVexyA="

// NewKeyring returns a keyring with the key of all tests.
func NewKeyring(t testing.TB) *keyring.Keyring {
	t.Helper()
	key, err := keyring.ParseKey(Key)
	if err != nil {
		t.Fatal(err)
	}
	box, err := keyring.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
