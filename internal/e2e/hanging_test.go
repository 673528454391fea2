package e2e

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/fleet"
)

func TestWayBack_AHangingCallHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]int{"all at once": 3, "one by one": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 3, "v1")
			hanging := f.Targets[2]
			hanging.Behave(func(b *fleet.Behaviour) { b.Hang, b.OnVersion = true, "v2" })
			p := serve(t, dbtest.New(t))
			body := request(f, "v2", object{
				"type": "rolling", "batch_size": batch, "progress_deadline": "3s", "on_failure": "rollback",
			})
			part[object](body, "deploy")["timeout"] = "60s"
			began := time.Now()
			d := p.awaitEnd(p.post(body).ID)
			if took := time.Since(began); d.State != "failed" || took > 20*time.Second {
				t.Errorf("%s after %s: %s", d.State, took, d.Reason)
			}
			for _, target := range list[targetResult](p, "/deployments/"+d.ID+"/targets") {
				if target.ID != hanging.ID && target.State != "rolled_back" {
					t.Errorf("%s is %s", target.ID, target.State)
				}
				if target.ID == hanging.ID && (target.State != "unknown" || !strings.Contains(target.Error, "its last call may be at work until")) {
					t.Errorf("%s is %s: %s", target.ID, target.State, target.Error)
				}
			}
			if n := len(hanging.Calls()); n != 1 {
				t.Errorf("%d calls of the one that hangs", n)
			}
		})
	}
}
