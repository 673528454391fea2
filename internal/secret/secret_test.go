package secret

import (
	"strings"
	"testing"
)

func FuzzSigningKeys(f *testing.F) {
	for _, seed := range []string{"whsec_YWJj", "whsec_YWJj whsec_YWJj", "whsec_", "x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if keys, err := SigningKeys(Secret(text)); err == nil && (len(keys) == 0 || len(keys) > maxSigningKeys) {
			t.Fatalf("%q has %d keys", text, len(keys))
		}
	})
}

func TestSigningKeys_OneOrTwo(t *testing.T) {
	t.Parallel()
	const one, two = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	for text, want := range map[Secret]int{
		one: 1, one + " " + two: 2, "": 0, "whsec_": 0, "whsec_???": 0, Secret(one[6:]): 0, "whsec_abc": 0, one + "  " + two: 0,
		one + " " + two + " " + one: 0, one + "\n": 0, "hunter2": 0, "***": 0,
	} {
		keys, err := SigningKeys(text)
		if len(keys) != want || (err == nil) != (want > 0) || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %d keys, %v", text.Reveal(), len(keys), err)
		}
	}
}
