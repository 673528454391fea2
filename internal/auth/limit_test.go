package auth

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"rollcall/internal/problem"

	"pgregory.net/rapid"
)

func TestLimiter_BoundsRateAndBurst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 50).Draw(t, "rate")
		l := newLimiter(rate)
		began := time.Unix(1_700_000_000, 0)
		now, let := began, 0
		for range rapid.IntRange(1, 300).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond)
			err := l.countRequest("ann", now)
			if err == nil {
				let++
				continue
			}
			e, ok := errors.AsType[*problem.Error](err)
			if !ok || e.Code != problem.CodeRateLimited || e.RetryAfter <= 0 || e.RetryAfter > time.Second/time.Duration(rate) {
				t.Fatalf("%+v", err)
			}
			if l.countRequest("ann", now.Add(e.RetryAfter)) != nil {
				t.Fatalf("a request after the wait of %v is rejected", e.RetryAfter)
			}
			now, let = now.Add(e.RetryAfter), let+1
		}
		if most := 2*rate + int(now.Sub(began).Seconds()*float64(rate)) + 1; let > most {
			t.Fatalf("%d requests in %v at %d per second", let, now.Sub(began), rate)
		}
	})
}

func TestLimiter_SeparatesPrincipals(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(1), time.Unix(1_700_000_000, 0)
	for range 100 {
		_ = l.countRequest("flood", now) // how it is refused is another test's matter
	}
	if err := l.countRequest("ann", now); err != nil {
		t.Error(err)
	}
}

func TestLimiter_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(1), time.Unix(1_700_000_000, 0)
	for i := range 3 * maxRemembered {
		if err := l.countRequest(fmt.Sprint(i), now.Add(time.Duration(i)*time.Microsecond)); err != nil {
			t.Fatal(err)
		}
		if len(l.until) > maxRemembered {
			t.Fatalf("%d principals are remembered", len(l.until))
		}
	}
}
