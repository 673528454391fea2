package rollout

import (
	"testing"
	"time"
)

// FuzzCommittedAt: the label's time is the one that it names, in UTC, or none.
func FuzzCommittedAt(f *testing.F) {
	for _, seed := range []string{"2026-05-01T12:00:00Z", "2026-05-01T12:00:00+02:00", "2026-05-01", "", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := Deployment{Labels: map[string]string{LabelCommitTime: text}}
		at := d.CommittedAt()
		said, err := time.Parse(time.RFC3339, text)
		if (err == nil) != !at.IsZero() && !said.IsZero() || err == nil && !at.Equal(said) || at.Location() != time.UTC {
			t.Fatalf("%q is %v", text, at)
		}
	})
}
