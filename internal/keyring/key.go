package keyring

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

const keyBytes = 32

var (
	keyID = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,31})$`)
	// errKey never quotes what was given: a key written wrong is still a key.
	errKey = errors.New(`a key is "id:" and 32 bytes in base64, its id at most 32 of a-z, 0-9, ".", "_" and "-"`)
)

// Key is an AES-256 key with the id by which sealed secrets name it. It prints as its id.
type Key struct {
	id    string
	bytes [keyBytes]byte
}

// NewKey makes a random key, whose id says when it was made and differs from that of any other.
func NewKey(now time.Time) Key {
	var k Key
	_, _ = rand.Read(k.bytes[:]) // it never fails
	k.id = now.UTC().Format("2006-01-02") + "-" + strings.ToLower(rand.Text()[:8])
	return k
}

// ParseKey reads a key as Text writes it.
func ParseKey(text string) (Key, error) {
	id, encoded, _ := strings.Cut(strings.TrimSpace(text), ":")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(decoded) != keyBytes || !keyID.MatchString(id) {
		return Key{}, errKey // the decoder's own error would quote the key
	}
	return Key{id: id, bytes: [keyBytes]byte(decoded)}, nil
}

// ParseKeys reads keys with white space between them. The first seals; the others only open what they sealed.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	for _, field := range strings.Fields(text) {
		k, err := ParseKey(field)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errKey
	}
	return keys, nil
}

// ID returns the key's name, which is no secret.
func (k Key) ID() string { return k.id }

// Text returns the key itself, as a key file has it.
func (k Key) Text() string { return k.id + ":" + base64.StdEncoding.EncodeToString(k.bytes[:]) }

// Format prints the id whatever the format.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("key " + k.id)) } // fmt.State keeps its own errors

// MarshalText encodes the id, so that no log or answer can hold the key.
func (k Key) MarshalText() ([]byte, error) { return fmt.Append(nil, k), nil }
