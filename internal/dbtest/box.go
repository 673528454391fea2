package dbtest

import (
	"testing"

	"rollcall/internal/seal"
)

// Key is the key of all tests, so that stores of one database open what another sealed.
const Key = "test:NvVv/iA6EeGwvNVfSD2LhAotX4kZ0VbUdw4b3MVexyA="

// Box is a box with the key of all tests.
func Box(t testing.TB) *seal.Keyring {
	t.Helper()
	key, err := seal.ParseKey(Key)
	if err != nil {
		t.Fatal(err)
	}
	box, err := seal.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
