package traffic

import (
	"context"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/secret"
)

const serverSecret = secret.Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

// longTimeout is for what should never take that long.
const longTimeout = 20 * time.Second

func deploymentOn(traffic routing.Config) *rollout.Deployment {
	d := &rollout.Deployment{ID: "d1", Service: "checkout", Environment: "production", Version: "v2"}
	if traffic.Timeout == 0 {
		traffic.Timeout = duration.Duration(longTimeout)
	}
	d.Spec.Traffic = &traffic
	return d
}

func twoTargets() []rollout.Target {
	return []rollout.Target{
		{ID: "web-1", Slot: "blue", PreviousVersion: "v1", CallsSent: 1},
		{ID: "web-2", Slot: "green", Metadata: map[string]any{"zone": "a"}},
	}
}

// setting gives the new side, web-1, its share of traffic in percent, and web-2 the rest.
func setting(percent int) routing.TrafficSplit {
	return routing.TrafficSplit{
		ActiveSlot: "blue", NewWeight: percent, OldWeight: 100 - percent,
		Backends: []routing.Backend{{Target: "web-1", Weight: percent}, {Target: "web-2", Weight: 100 - percent}},
	}
}

// callFor writes a setting of a deployment that may restore whatever it finds taken out.
func callFor(s routing.TrafficSplit) routing.Call {
	call := routing.Call{WebhookID: "msg_1", Attempt: 3, Fence: 42, Setting: s}
	for _, b := range s.Backends {
		call.TakenOut = append(call.TakenOut, b.Target)
	}
	return call
}

func want(t *testing.T, got rollout.CallResult, kind rollout.ResultKind, message string) {
	t.Helper()
	if got.Kind != kind || !strings.Contains(got.Message, message) {
		t.Errorf("got %s %q, want %s with %q", got.Kind, got.Message, kind, message)
	}
}

// eventually waits for a fact.
func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longTimeout)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !fact() {
		select {
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		case <-again.C:
		}
	}
}
