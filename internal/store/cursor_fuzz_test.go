package store

import (
	"strings"
	"testing"

	"rollcall/internal/problem"
)

// FuzzCursor: a cursor is one that was given out, to the letter, or it is the caller's mistake.
func FuzzCursor(f *testing.F) {
	f.Add(place{micros: 1, id: "01890000-0000-7000-8000-000000000000"}.cursor())
	f.Add(encodeCursor("e:%d", 7))
	f.Add(pair{"checkout", "production"}.cursor())
	f.Add(pair{"a\x00", "b"}.cursor())
	f.Add("!")
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := placeOf(cursor)
		switch {
		case err != nil && problem.CodeOf(err) != problem.CodeInvalid:
			t.Fatalf("%q: %v", cursor, err)
		case err == nil && cursor != "" && p.cursor() != cursor:
			t.Fatalf("%q is read as %q", cursor, p.cursor())
		}
		if p, err := pairOf(cursor); err == nil && strings.ContainsFunc(p.service+p.environment, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is read as %+v", cursor, p)
		}
		if _, err := number("e", cursor, 0); err != nil && problem.CodeOf(err) != problem.CodeInvalid {
			t.Fatalf("%q: %v", cursor, err)
		}
	})
}
