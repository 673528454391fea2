package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// version begins every sealed secret, so that another way of sealing can follow.
const version = 1

// ErrNoKey says that there is no key to seal or open with.
var ErrNoKey = errors.New("this server has no key to keep secrets with: give it --secret-key-file or ROLLCALL_SECRET_KEY")

// Box seals with one key and opens with that and older ones. It is safe for concurrent use. The nil *Box has no key: both
// its methods answer ErrNoKey.
type Box struct {
	current string
	keys    map[string]cipher.AEAD
}

// New gives a box that seals with current. Ids must differ.
func New(current Key, older ...Key) (*Box, error) {
	b := &Box{current: current.id, keys: map[string]cipher.AEAD{}}
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

// Seal makes a secret unreadable, and useless anywhere but at place, which names a column and a row
// ("table.column:row"). The same secret looks different each time.
func (b *Box) Seal(place string, secret []byte) ([]byte, error) {
	if b == nil {
		return nil, ErrNoKey
	}
	header := append([]byte{version, byte(len(b.current))}, b.current...)
	return b.keys[b.current].Seal(header, nil, secret, additional(header, place)), nil
}

// Open gives back what was sealed for that place. Its errors hold nothing of the secret.
func (b *Box) Open(place string, sealed []byte) ([]byte, error) {
	if b == nil {
		return nil, ErrNoKey
	}
	id, rest, err := split(sealed)
	if err != nil {
		return nil, fmt.Errorf("open the secret at %s: %w", place, err)
	}
	aead, ok := b.keys[id]
	if !ok {
		return nil, fmt.Errorf("open the secret at %s: it was sealed with key %q, which this server does not have", place, id)
	}
	secret, err := aead.Open(nil, nil, rest, additional(sealed[:len(sealed)-len(rest)], place))
	if err != nil {
		return nil, fmt.Errorf("open the secret at %s: it was changed, or sealed for another place or with another key", place)
	}
	return secret, nil
}

// Has reports whether the box can open what the key with that id sealed.
func (b *Box) Has(id string) bool { return b != nil && b.keys[id] != nil }

// Fresh reports whether the secret was sealed with the current key: no rotation needs to touch it.
func (b *Box) Fresh(sealed []byte) bool {
	if b == nil {
		return false
	}
	id, _, err := split(sealed)
	return err == nil && id == b.current
}

func split(sealed []byte) (id string, rest []byte, err error) {
	if len(sealed) < 2 || sealed[0] != version || len(sealed) < 2+int(sealed[1]) {
		return "", nil, errors.New("it is not a sealed secret")
	}
	end := 2 + int(sealed[1])
	return string(sealed[2:end]), sealed[end:], nil
}

// additional is the header, whose length it tells itself, and the place: no two pairs of them look the same.
func additional(header []byte, place string) []byte {
	return append(append([]byte{}, header...), place...)
}
