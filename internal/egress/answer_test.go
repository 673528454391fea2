package egress

import (
	"testing"
	"time"
)

func TestRetryAfter_IsReadAndBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, wait := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "60": time.Minute, "61": time.Minute,
		"99999999999999999999": time.Minute, "-5": 0, "-99999999999999999999": 0, "soon": 0, "1.5": 0, "NaN": 0,
		"Fri, 01 May 2026 12:00:09 GMT": 9 * time.Second,
		"Fri, 01 May 2026 11:00:00 GMT": 0,
		"Fri, 01 May 2026 18:00:00 GMT": time.Minute,
	} {
		if got := retryAfter(value, now); got != wait {
			t.Errorf("Retry-After %q: %v, want %v", value, got, wait)
		}
	}
}
