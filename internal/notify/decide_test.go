package notify

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

func answered(status int, header ...string) egress.Response {
	r := egress.Response{Status: status, Header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func nothing(kind rollout.ResultKind) egress.Response {
	return egress.Response{Failure: rollout.CallResult{Kind: kind, Message: "not sent: connection refused"}}
}

func TestDecide_OutcomeOfEachResponse(t *testing.T) {
	t.Parallel()
	old := 24 * time.Hour
	for name, c := range map[string]struct {
		answer     egress.Response
		age        time.Duration
		test       bool
		status     notification.DeliveryStatus
		result     rollout.ResultKind
		unanswered bool
	}{
		"200":                       {answered(200), 0, false, notification.DeliveryDelivered, rollout.ResultDone, false},
		"202":                       {answered(202), 0, false, notification.DeliveryDelivered, rollout.ResultDone, false},
		"a late 200":                {answered(204), old, false, notification.DeliveryDelivered, rollout.ResultDone, false},
		"500":                       {answered(500), 0, false, notification.DeliveryPending, rollout.ResultRetry, false},
		"503":                       {answered(503), 0, false, notification.DeliveryPending, rollout.ResultRetry, true},
		"503 that says when":        {answered(503, "Retry-After", "9"), 0, false, notification.DeliveryPending, rollout.ResultRetry, false},
		"429":                       {answered(429), 0, false, notification.DeliveryPending, rollout.ResultRetry, false},
		"401":                       {answered(401), 0, false, notification.DeliveryPending, rollout.ResultRefused, false},
		"a redirect":                {answered(307), 0, false, notification.DeliveryPending, rollout.ResultRefused, false},
		"gone for good":             {answered(410), 0, false, notification.DeliveryGivenUp, rollout.ResultRefused, false},
		"no connection":             {nothing(rollout.ResultNotSent), 0, false, notification.DeliveryPending, rollout.ResultNotSent, true},
		"no answer":                 {nothing(rollout.ResultUnknown), 0, false, notification.DeliveryPending, rollout.ResultUnknown, true},
		"no connection for a day":   {nothing(rollout.ResultNotSent), old, false, notification.DeliveryGivenUp, rollout.ResultNotSent, false},
		"500 for a day":             {answered(500), old, false, notification.DeliveryGivenUp, rollout.ResultRetry, false},
		"a test without a receiver": {nothing(rollout.ResultNotSent), 0, true, notification.DeliveryGivenUp, rollout.ResultNotSent, false},
		"101":                       {answered(101), 0, false, notification.DeliveryPending, rollout.ResultUnknown, false},
	} {
		m := completed(nil)
		if c.test {
			m = testMessage()
		}
		d := delivery(notification.KindWebhook, "http://127.0.0.1:1", m)
		d.Age = c.age
		got := decideOutcome(d, c.answer, at, 0.5)
		if got.Status != c.status || got.Result != c.result || got.Unreachable != c.unanswered || (got.RetryIn > 0) != (c.status == notification.DeliveryPending) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestBackoff_GrowsWithJitterToLimit(t *testing.T) {
	t.Parallel()
	for attempt, bounds := range map[int][2]time.Duration{
		1: {time.Second, 2 * time.Second}, 2: {2 * time.Second, 4 * time.Second}, 5: {16 * time.Second, 32 * time.Second},
		11: {15 * time.Minute, 30 * time.Minute}, 19: {15 * time.Minute, 30 * time.Minute}, 1000: {15 * time.Minute, 30 * time.Minute},
	} {
		if least, most := backoffAfter(attempt, 0), backoffAfter(attempt, 1); least != bounds[0] || most != bounds[1] {
			t.Errorf("after attempt %d: %s to %s", attempt, least, most)
		}
	}
}

func TestDecide_RetryAfterIsCappedAtAnHour(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "600": 10 * time.Minute, "999999": time.Hour, "Fri, 01 May 2026 12:10:05 GMT": 10 * time.Minute,
		"0": backoffAfter(1, 0.5), "soon": backoffAfter(1, 0.5), "1": backoffAfter(1, 0.5), // sooner than it would be tried anyway
	} {
		if got := decideOutcome(delivery(notification.KindWebhook, "http://x", completed(nil)), answered(429, "Retry-After", value), at, 0.5); got.RetryIn != want {
			t.Errorf("%s: again after %s, want %s", value, got.RetryIn, want)
		}
	}
}

func TestRedact_HidesPartsOfSecrets(t *testing.T) {
	t.Parallel()
	secrets := notification.Secrets{
		URL:     "https://hooks.example.com:8443/services/T0000AAAA/xoxbSecret%2F1?key=queryValue",
		Signing: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_C2FVsBQIhrscChlQIMV", Token: "ghp_token",
	}
	for _, part := range []string{
		secrets.URL.Reveal(), "hooks.example.com", "hooks.example.com:8443", "/services/T0000AAAA/", "T0000AAAA", "xoxbSecret/1", "xoxbSecret%2F1",
		"queryValue", "key=queryValue", "ghp_token", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV",
	} {
		answer := egress.Response{Status: 400, Body: []byte("you sent " + part + " to me")}
		if got := responseDetail(answer, &secrets); got != "HTTP 400: "+redacted {
			t.Errorf("%s: %s", part, got)
		}
	}
	long := egress.Response{Status: 400, Body: []byte(strings.Repeat("x", 195) + secrets.Token.Reveal())}
	if got := responseDetail(long, &secrets); got != "HTTP 400: "+redacted {
		t.Errorf("a part of a secret is shown where an answer is cut: %s", got)
	}
	lookup := egress.Response{Failure: rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: cannot look up hooks.example.com: no such host"}}
	if got := responseDetail(lookup, &secrets); got != "not sent: "+redacted {
		t.Error(got)
	}
	if got := responseDetail(egress.Response{Status: 400, Body: []byte("invalid_payload")}, &secrets); got != "HTTP 400: invalid_payload" {
		t.Errorf("what reveals nothing is hidden: %s", got)
	}
}

func TestRedact_HidesURLInResponse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`[A-Za-z0-9_-]{6,40}`).Draw(t, "path")
		secrets := notification.Secrets{URL: secret.Secret("https://h.example.com/a/" + path)}
		before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
		if got := redactSecrets(before+path+after, &secrets); got != redacted {
			t.Fatalf("%q", got)
		}
	})
}
