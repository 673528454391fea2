package duration

import (
	"encoding/json"
	"testing"
	"time"
)

// FuzzParseDays: a period is what its words say, or refused.
func FuzzParseDays(f *testing.F) {
	for _, seed := range []string{"24h", "30d", "1e9d", "-1d", "65536d", "d", "99999999h", "+3d", "0x1d", "1h30d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		period, err := ParseDays(text)
		if err == nil && text[len(text)-1] == 'd' && (period < 0 || period%(24*time.Hour) != 0) {
			t.Fatalf("%q is %v", text, period)
		}
	})
}

// FuzzDuration checks that a duration is written as it was read.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{`"1m30s"`, `1`, `"x"`, `null`, `"-1h"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var read, again Duration
		if json.Unmarshal([]byte(text), &read) == nil {
			if err := again.UnmarshalText([]byte(read.String())); err != nil || again != read {
				t.Fatalf("%q is %v, then %v: %v", text, read, again, err)
			}
		}
	})
}
