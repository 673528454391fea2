package pg

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/problem"
)

// FuzzCursor: a cursor is one that was given out, to the letter, or it is the caller's mistake.
func FuzzCursor(f *testing.F) {
	f.Add(TimeCursor{Time: time.UnixMicro(1), ID: "01890000-0000-7000-8000-000000000000"}.String())
	f.Add(encodeCursor("e:%d", 7))
	f.Add(KeyCursor{"checkout", "production"}.String())
	f.Add(KeyCursor{"a\x00", "b"}.String())
	f.Add("!")
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := ParseTimeCursor(cursor)
		switch {
		case err != nil && problem.CodeOf(err) != problem.CodeInvalid:
			t.Fatalf("%q: %v", cursor, err)
		case err == nil && cursor != "" && p.String() != cursor:
			t.Fatalf("%q is read as %q", cursor, p)
		}
		if p, err := ParseKeyCursor(cursor); err == nil && strings.ContainsFunc(p.Service+p.Environment, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is read as %+v", cursor, p)
		}
		if _, err := ParseNumberCursor("e", cursor, 0); err != nil && problem.CodeOf(err) != problem.CodeInvalid {
			t.Fatalf("%q: %v", cursor, err)
		}
	})
}
