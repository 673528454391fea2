package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// version is the first byte of every sealed secret.
const version = 1

// ErrNoKey means that there is no key to seal or open with.
var ErrNoKey = errors.New("this server has no key for secrets: set --secret-key-file or ROLLCALL_SECRET_KEY")

// Keyring seals with one key and opens with that and older ones. It is safe for concurrent use. The nil *Keyring has no key:
// its methods return ErrNoKey.
type Keyring struct {
	current string
	keys    map[string]cipher.AEAD
}

// New returns a keyring that seals with current. The ids must differ.
func New(current Key, older ...Key) (*Keyring, error) {
	b := &Keyring{current: current.id, keys: map[string]cipher.AEAD{}}
	for _, k := range append([]Key{current}, older...) {
		if k.id == "" {
			return nil, errKey
		}
		if b.keys[k.id] != nil {
			return nil, fmt.Errorf("two keys have the id %s", k.id)
		}
		block, err := aes.NewCipher(k.bytes[:])
		if err != nil {
			return nil, fmt.Errorf("use %v: %w", k, err)
		}
		if b.keys[k.id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("use %v: %w", k, err)
		}
	}
	return b, nil
}

// Seal encrypts a secret for one context only, which names a column and a row
// ("table.column:row"). The same secret looks different each time.
func (b *Keyring) Seal(context string, secret []byte) ([]byte, error) {
	if b == nil {
		return nil, ErrNoKey
	}
	header := append([]byte{version, byte(len(b.current))}, b.current...)                    //nolint:gosec // an id has at most 32 bytes
	return b.keys[b.current].Seal(header, nil, secret, additionalData(header, context)), nil //nolint:gosec // it draws a nonce itself
}

// Open decrypts a secret that was sealed for the context. Its errors contain nothing of the secret.
func (b *Keyring) Open(context string, sealed []byte) ([]byte, error) {
	if b == nil {
		return nil, ErrNoKey
	}
	id, rest, err := splitSealed(sealed)
	if err != nil {
		return nil, fmt.Errorf("open the secret at %s: %w", context, err)
	}
	aead, ok := b.keys[id]
	if !ok {
		return nil, fmt.Errorf("open the secret at %s: it was sealed with key %q, which this server does not have", context, id)
	}
	secret, err := aead.Open(nil, nil, rest, additionalData(sealed[:len(sealed)-len(rest)], context))
	if err != nil {
		return nil, fmt.Errorf("open the secret at %s: it was changed, or sealed for another context or with another key", context)
	}
	return secret, nil
}

// Has reports whether the keyring has the key with the id.
func (b *Keyring) Has(id string) bool { return b != nil && b.keys[id] != nil }

// SealedWithCurrent reports whether the secret was sealed with the current key: no rotation needs to touch it.
func (b *Keyring) SealedWithCurrent(sealed []byte) bool {
	if b == nil {
		return false
	}
	id, _, err := splitSealed(sealed)
	return err == nil && id == b.current
}

func splitSealed(sealed []byte) (id string, rest []byte, err error) {
	if len(sealed) < 2 || sealed[0] != version || len(sealed) < 2+int(sealed[1]) {
		return "", nil, errors.New("it is not a sealed secret")
	}
	end := 2 + int(sealed[1])
	return string(sealed[2:end]), sealed[end:], nil
}

// additionalData returns the authenticated data: the header, which contains its length, and the context. No two
// of them are the same bytes.
func additionalData(header []byte, context string) []byte {
	return append(append([]byte{}, header...), context...)
}
