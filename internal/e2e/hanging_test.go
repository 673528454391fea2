package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

func TestRollback_HangingCallDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]int{"all at once": 3, "one by one": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 3, "v1")
			hanging := f.Targets[2]
			hanging.SetBehaviour(func(b *testtarget.Behaviour) { b.Hang, b.OnVersion = true, "v2" })
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
				if target.ID == hanging.ID && (target.State != "unknown" || !strings.Contains(target.Error, "its last call may still be running until")) {
					t.Errorf("%s is %s: %s", target.ID, target.State, target.Error)
				}
			}
			if n := len(hanging.Calls()); n != 1 {
				t.Errorf("%d calls of the one that hangs", n)
			}
		})
	}
}

func TestInDoubt_NewDeploymentWaitsForOldWork(t *testing.T) {
	t.Parallel()
	for name, follow := range map[string]func(p *process, body object, ended string) deployment{
		"a deploy of another service": func(p *process, body object, _ string) deployment {
			body["service"], body["version"] = "shop", "v3"
			part[[]object](body, "targets")[0]["id"] = "renamed"
			return p.post(body)
		},
		"a retry": func(p *process, _ object, ended string) deployment {
			return p.ask("/deployments/"+ended+"/retry", http.StatusAccepted)
		},
		"a rollback": func(p *process, _ object, ended string) deployment {
			return p.ask("/deployments/"+ended+"/rollback", http.StatusAccepted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1, "v1")
			f.Targets[0].QueueBehaviours(testtarget.Behaviour{Delay: 7 * time.Second, Proxy: 200 * time.Millisecond})
			p := serve(t, dbtest.New(t))
			body := request(f, "v2", object{"type": "rolling", "progress_deadline": "2s"})
			part[object](body, "deploy")["timeout"] = "10s"
			first := p.awaitEnd(p.post(body).ID)
			if first.State != "failed" || len(f.Calls()) != 1 {
				t.Fatalf("%s after %d calls: %s", first.State, len(f.Calls()), first.Reason)
			}
			d := follow(p, body, first.ID)
			p.await(d.ID, "waits for the work", func(d *deployment) bool {
				return strings.Contains(d.Reason, "a call of an earlier deployment may still be running")
			})
			if d := p.awaitEnd(d.ID); d.State != "completed" && d.State != "rolled_back" || f.Targets[0].MaxOpen() != 1 {
				t.Errorf("%s (%s), %d calls at once", d.State, d.Reason, f.Targets[0].MaxOpen())
			}
		})
	}
}
