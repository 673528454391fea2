package outbound

import (
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// FuzzRetryAfter: no answer makes a call wait longer than a minute, or less than not at all.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "7", "-1", "99999999999999999999", "Fri, 01 May 2026 12:00:09 GMT", "1e9", "\xff"} {
		f.Add(seed)
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if wait := retryAfter(header, now); wait < 0 || wait > maxRetryAfter {
			t.Fatalf("%q: %v", header, wait)
		}
	})
}

// FuzzOneLine: what others say is shown as one short line that can be printed.
func FuzzOneLine(f *testing.F) {
	for _, seed := range []string{"", "a\nb", "\x1b[31m", "\u202e", "\xff\xfe", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := OneLine(text)
		if utf8.RuneCountInString(line) > maxShown || !utf8.ValidString(line) {
			t.Fatalf("%q became %q", text, line)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q became %q", text, line)
			}
		}
	})
}
