package pg

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
)

// NullTime scans a timestamptz as UTC, NULL as the zero time.
type NullTime time.Time

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (n *NullTime) ScanTimestamptz(v pgtype.Timestamptz) error {
	*n = NullTime{}
	if v.Valid {
		*n = NullTime(v.Time.UTC())
	}
	return nil
}

// NullText scans a text, NULL as the empty string.
type NullText string

// ScanText implements pgtype.TextScanner.
func (n *NullText) ScanText(v pgtype.Text) error {
	*n = NullText(v.String)
	return nil
}

// NullHash scans a bytea as a hash, NULL as none.
type NullHash rollout.Hash

// ScanBytes implements pgtype.BytesScanner.
func (h *NullHash) ScanBytes(v []byte) error {
	*h = NullHash{}
	if n := copy(h[:], v); v != nil && n != len(v) || v != nil && n != len(h) {
		return fmt.Errorf("a hash of %d bytes is stored", len(v))
	}
	return nil
}

// HashArg returns a hash as an argument; none is NULL.
func HashArg(h rollout.Hash) []byte {
	if h.IsZero() {
		return nil
	}
	return h[:]
}

// TimeArg returns a time as an argument; the zero time is NULL.
func TimeArg(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()} }

// TextArg returns a string as an argument; the empty one is NULL.
func TextArg[S ~string](s S) pgtype.Text { return pgtype.Text{String: string(s), Valid: s != ""} }

// NonNil returns an empty list for nil, which would become NULL, with which nothing compares.
func NonNil(ids []string) []string {
	if ids == nil {
		return []string{}
	}
	return ids
}

// NonNilMap returns an empty map for nil, which would become NULL.
func NonNilMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
