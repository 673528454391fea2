// Package sealing is how the store's packages seal the secrets in their rows.
package sealing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/keyring"
	"rollcall/internal/problem"
)

// Sealer seals secrets with a keyring. Without one a secret is CodeInvalid.
type Sealer struct{ Box *keyring.Keyring }

// Seal encodes secrets and seals them for a place.
func (s Sealer) Seal(place string, secrets any) ([]byte, error) {
	encoded, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encode what is sealed for %s: %w", place, err)
	}
	sealed, err := s.Box.Seal(place, encoded)
	if errors.Is(err, keyring.ErrNoKey) {
		return nil, &problem.Error{
			Code: problem.CodeInvalid, Message: "the request carries a secret, and " + keyring.ErrNoKey.Error(),
		}
	}
	return sealed, err //nolint:wrapcheck // it names the place
}

// Open decodes into secrets what Seal has sealed for the same place.
func (s Sealer) Open(place string, sealed []byte, secrets any) error {
	encoded, err := s.Box.Open(place, sealed)
	if err != nil {
		return err //nolint:wrapcheck // it names the place
	}
	if err := json.Unmarshal(encoded, secrets); err != nil {
		return fmt.Errorf("what is sealed for %s is something else", place) // the cause could quote it
	}
	return nil
}

// UnreadableError returns CodeConflict for a change that would lose the secrets of a thing.
func UnreadableError(thing string) *problem.Error {
	return &problem.Error{
		Code: problem.CodeConflict, Message: "the " + thing + "'s secrets were sealed with a key that this server does not have",
	}
}

// Table is a table with a column of sealed secrets.
type Table struct {
	Name string
	// Keys are its primary key, as text.
	Keys []string
	// Needed is the condition under which a server must be able to open the row's secrets.
	Needed string
	// Stale is the condition under which a row has secrets in plain text.
	Stale string
	// Reseal seals the secrets of one row with the current key.
	Reseal func(ctx context.Context, tx pgx.Tx, keys []string) error
}
