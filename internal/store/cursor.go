package store

import (
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// The bounds of a page's size.
const (
	defaultLimit = 50
	maxLimit     = 200
)

func limitOf(p rollout.Page) int {
	if p.Limit <= 0 {
		return defaultLimit
	}
	return min(p.Limit, maxLimit)
}

// latestMicros is the last microsecond of the year 9999. PostgreSQL refuses times that are far beyond it.
const latestMicros = 253402300799_999999

// place is where a page of deployments ended: created_at in microseconds, and id.
type place struct {
	micros int64
	id     string
}

func (p place) time() time.Time { return time.UnixMicro(p.micros).UTC() }

func (p place) cursor() string { return encodeCursor("d:%d:%s", p.micros, p.id) }

// placeOf reads a cursor of a list of deployments; nil is the beginning.
func placeOf(cursor string) (*place, error) {
	if cursor == "" {
		return nil, nil
	}
	var p place
	if err := decodeCursor(cursor, "d:%d:%s", &p.micros, &p.id); err != nil {
		return nil, err
	}
	if !canonical(p.id) || p.micros < 0 || p.micros > latestMicros || p.cursor() != cursor {
		return nil, badCursor()
	}
	return &p, nil
}

// number reads a cursor of a numbered list of that kind; empty is the number before the first.
func number(kind, cursor string, before int64) (int64, error) {
	if cursor == "" {
		return before, nil
	}
	n := before
	if err := decodeCursor(cursor, kind+":%d", &n); err != nil {
		return 0, err
	}
	if n < 0 || numbered(kind, n) != cursor {
		return 0, badCursor()
	}
	return n, nil
}

func numbered(kind string, n int64) string { return encodeCursor(kind+":%d", n) }

func encodeCursor(format string, args ...any) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, format, args...))
}

// decodeCursor reads what encodeCursor wrote. A cursor is the caller's to forge: what PostgreSQL takes for no text, or no
// number of the column's type, must not get as far as that.
func decodeCursor(cursor, format string, places ...any) error {
	plain, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || slices.ContainsFunc(plain, unprintable) {
		return badCursor()
	}
	if _, err := fmt.Sscanf(string(plain), format, places...); err != nil {
		return badCursor()
	}
	return nil
}

// unprintable is a byte that stands in no cursor: names, ids and numbers are printable ASCII.
func unprintable(b byte) bool { return b < ' ' || b > '~' }

func badCursor() error {
	return problem.Invalid([]problem.FieldError{{Pointer: "/cursor", Detail: "is not a cursor that this list gave"}})
}

// page cuts off what was read beyond the limit, and tells by it whether there is more.
func page[T any](items []T, limit int, cursor func(last *T) string) rollout.List[T] {
	if len(items) <= limit {
		return rollout.List[T]{Items: items}
	}
	items = items[:limit]
	return rollout.List[T]{Items: items, NextCursor: cursor(&items[limit-1])}
}
