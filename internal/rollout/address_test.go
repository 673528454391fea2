package rollout_test

import (
	"testing"

	"rollcall/internal/rollout"
)

func TestAddress_ComparesWhereItLeads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"http://web-1", "HTTP://WEB-1:80/", true},
		{"https://web-1/app", "https://web-1:443/app//", true},
		{"http://web-1.", "http://web-1", true},
		{"http://web-1:080", "http://web-1", true},
		{"http://[::1]:8080", "http://[::1]:8080/", true},
		{"http://web-1", "https://web-1", false},
		{"http://web-1:8080", "http://web-1", false},
		{"http://web-1/app", "http://web-1/App", false},
		{"http://web-1", "http://web-2", false},
		{"", "http://web-1", false},
		{"http://[::1]", "http://[::1]:80", true},
		{"%", "%", true},
	} {
		if got := rollout.SameAddress(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: %t", c.a, c.b, got)
		}
	}
}
