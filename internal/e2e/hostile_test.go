package e2e

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// What a target says about itself is shown and kept, and must not be able to stop its deployment.
func TestHostile_NonsenseResponsesDelayNothing(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for name, version := range map[string]string{
		"nul": "v1\x00", "escape": "\x1b[2J", "endless": strings.Repeat("v", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, 2, "v1")
			f.Targets[0].SetVersion(version)
			body := request(f, "v2", object{"type": "rolling"})
			body["service"] = name
			d := p.awaitEnd(p.post(body).ID)
			if d.State != "completed" {
				t.Errorf("ended %s: %s", d.State, d.Reason)
			}
			for _, r := range list[targetResult](p, "/deployments/"+d.ID+"/targets") {
				if r.PreviousVersion != nil && *r.PreviousVersion != "v1" {
					t.Errorf("%.60q is taken for a version", *r.PreviousVersion)
				}
			}
		})
	}
}

// firstCall is how long after a moment the fleet got its first call.
func firstCall(t *testing.T, f *testtarget.Fleet, since time.Time) time.Duration {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-poll.C {
		if calls := f.Calls(); len(calls) > 0 {
			return calls[0].Received.Sub(since)
		}
	}
	t.Fatal("the fleet was never called")
	return 0
}

func TestHostile_HangingTargetsDelayNoOther(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	stuck := newFleet(t, 60, "v1")
	for _, target := range stuck.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Hang = true })
	}
	body := request(stuck, "v2", object{"type": "rolling", "batch_size": len(stuck.Targets)})
	body["service"], body["deploy"] = "stuck", object{"timeout": "60s", "retries": 0}
	p.post(body)
	firstCall(t, stuck, time.Now())
	for range 3 {
		f := newFleet(t, 1, "v1")
		body := request(f, "v2", object{"type": "rolling"})
		body["service"] = "free-" + strings.TrimPrefix(f.Targets[0].URL(), "http://127.0.0.1:")
		began := time.Now()
		d := p.post(body)
		if took := firstCall(t, f, began); took > 500*time.Millisecond+slack {
			t.Errorf("the first call came after %s", took)
		} else {
			t.Logf("the first call came after %s", took)
		}
		if d := p.awaitEnd(d.ID); d.State != "completed" {
			t.Errorf("ended %s: %s", d.State, d.Reason)
		}
	}
}

// slack is what a busy machine adds to a promise.
const slack = 500 * time.Millisecond
