package pg

import (
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/storage"
)

// The limits of a page's size.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// LimitOf returns how many items a page has at most.
func LimitOf(p storage.Page) int {
	if p.Limit <= 0 {
		return defaultLimit
	}
	return min(p.Limit, maxLimit)
}

// latestMicros is the last microsecond of the year 9999. PostgreSQL rejects times that are far beyond it.
const latestMicros = 253402300799_999999

// TimeCursor is where a page of a list by creation time ended.
type TimeCursor struct {
	Time time.Time
	ID   string
}

// String encodes the cursor.
func (c TimeCursor) String() string { return encodeCursor("d:%d:%s", c.Time.UnixMicro(), c.ID) }

// ParseTimeCursor reads what TimeCursor.String wrote; nil is the beginning.
func ParseTimeCursor(cursor string) (*TimeCursor, error) {
	if cursor == "" {
		return nil, nil
	}
	var c TimeCursor
	var micros int64
	if err := decodeCursor(cursor, "d:%d:%s", &micros, &c.ID); err != nil {
		return nil, err
	}
	c.Time = time.UnixMicro(micros).UTC()
	if !ValidID(c.ID) || micros < 0 || micros > latestMicros || c.String() != cursor {
		return nil, badCursor()
	}
	return &c, nil
}

// ParseNumberCursor reads what NumberCursor wrote for that kind of list; empty is the number before the first.
func ParseNumberCursor(kind, cursor string, before int64) (int64, error) {
	if cursor == "" {
		return before, nil
	}
	n := before
	if err := decodeCursor(cursor, kind+":%d", &n); err != nil {
		return 0, err
	}
	if n < 0 || NumberCursor(kind, n) != cursor {
		return 0, badCursor()
	}
	return n, nil
}

// NumberCursor encodes where a page of a numbered list of that kind ended.
func NumberCursor(kind string, n int64) string { return encodeCursor(kind+":%d", n) }

func encodeCursor(format string, args ...any) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, format, args...))
}

// decodeCursor reads what encodeCursor wrote. Callers can forge a cursor: what PostgreSQL rejects as text, or as a number of
// the column's type, must not reach it.
func decodeCursor(cursor, format string, places ...any) error {
	plain, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || slices.ContainsFunc(plain, isUnprintable) {
		return badCursor()
	}
	if _, err := fmt.Sscanf(string(plain), format, places...); err != nil {
		return badCursor()
	}
	return nil
}

// isUnprintable reports whether a byte is in no cursor: names, ids and numbers are printable ASCII.
func isUnprintable(b byte) bool { return b < ' ' || b > '~' }

func badCursor() error {
	return problem.Invalid([]problem.FieldError{{Pointer: "/cursor", Detail: "is not a cursor that this list gave"}})
}

// CutPage cuts off what was read beyond the limit, and adds a cursor when there is more.
func CutPage[T any](items []T, limit int, cursor func(last *T) string) storage.List[T] {
	if len(items) <= limit {
		return storage.List[T]{Items: items}
	}
	items = items[:limit]
	return storage.List[T]{Items: items, NextCursor: cursor(&items[limit-1])}
}

// KeyCursor is where a page of a list by service and environment ended.
type KeyCursor struct{ Service, Environment string }

// String encodes the cursor.
func (c KeyCursor) String() string { return encodeCursor("s:%s %s", c.Service, c.Environment) }

// ParseKeyCursor reads what KeyCursor.String wrote; empty is the beginning.
func ParseKeyCursor(cursor string) (KeyCursor, error) {
	var c KeyCursor
	if cursor == "" {
		return c, nil
	}
	if err := decodeCursor(cursor, "s:%s %s", &c.Service, &c.Environment); err != nil {
		return c, err
	}
	if c.String() != cursor {
		return c, badCursor()
	}
	return c, nil
}
