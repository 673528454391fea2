package e2e

import (
	"net/http"
	"slices"
	"testing"

	"rollcall/internal/dbtest"
)

func TestHAProxy_ConfiguredWeightsAtEachEnd(t *testing.T) {
	t.Parallel()
	for name, configured := range map[string][]int{"three": {200, 100, 50}, "big and small": {100, 25}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, len(configured), "v1")
			proxy := startProxyWeighted(t, f, func(i int) int { return configured[i] })
			p := serve(t, dbtest.New(t))
			assertWeights := func(after string) {
				t.Helper()
				if got := proxy.weights(); !slices.Equal(got, configured) {
					t.Errorf("%s: weights %v", after, got)
				}
			}
			d := p.awaitEnd(p.post(proxy.request(f, "v2", object{"type": "rolling"})).ID)
			assertEnd(p, d, "completed", true)
			assertWeights("completed")
			undone := p.awaitEnd(p.ask("/deployments/"+d.ID+"/rollback", http.StatusAccepted).ID)
			assertEnd(p, undone, "rolled_back", true)
			assertWeights("undone")
			give := func(version, command string) deployment {
				t.Helper()
				d := p.post(proxy.request(f, version, object{"type": "rolling", "bake": "10m"}))
				p.await(d.ID, "in the first bake", func(d *deployment) bool { return d.Progress.Updated == 1 && slices.Equal(proxy.weights(), configured) })
				p.ask("/deployments/"+d.ID+"/"+command, http.StatusOK)
				return p.awaitEnd(d.ID)
			}
			assertEnd(p, give("v3", "rollback"), "rolled_back", false)
			assertWeights("rolled back")
			assertEnd(p, give("v4", "abort"), "aborted", false)
			if got := proxy.weights(); got[0] != 0 || !slices.Equal(got[1:], configured[1:]) {
				t.Errorf("aborted: weights %v, and only the new side was to be out", got)
			}
			assertEnd(p, p.awaitEnd(p.post(proxy.request(f, "v5", object{"type": "rolling"})).ID), "completed", true)
			assertWeights("completed after an abort")
		})
	}
}

func TestHAProxy_OtherServersKeepTheirShare(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	body := proxy.request(f, "v2", object{"type": "canary", "stages": []any{object{"percent": 20, "duration": "0s", "promotion": "manual"}, object{"percent": 100, "duration": "0s"}}})
	body["targets"] = part[[]object](body, "targets")[:2]
	d := p.post(body)
	p.await(d.ID, "at the gate", func(d *deployment) bool { return d.State == "paused" })
	if got := proxy.weights(); !slices.Equal(got, []int{40, 160, 100, 100}) {
		t.Errorf("at 20 %% the weights are %v", got)
	}
	p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	assertEnd(p, p.awaitEnd(d.ID), "completed", true)
	rolling := proxy.request(f, "v3", object{"type": "rolling"})
	rolling["targets"] = body["targets"]
	assertEnd(p, p.awaitEnd(p.post(rolling).ID), "completed", true)
	if got := proxy.weights(); !slices.Equal(got, []int{100, 100, 100, 100}) {
		t.Errorf("left with weights %v", got)
	}
}

// An operator takes a server's weight away while the deployment is at a gate.
func TestHAProxy_ZeroWeightSetMidwayStays(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	d := p.post(proxy.request(f, "v2", object{"type": "rolling", "bake": "2s"}))
	p.await(d.ID, "in the first bake", func(d *deployment) bool { return d.Progress.Wave == 1 && d.Progress.Updated == 1 })
	proxy.say("set server checkout/web-4 weight 0")
	assertEnd(p, p.awaitEnd(d.ID), "completed", true)
	assertRuns(t, f, allRun("v2"))
	if got := proxy.weights(); !slices.Equal(got, []int{100, 100, 100, 0}) {
		t.Errorf("left with weights %v", got)
	}
	var status struct {
		Traffic struct{ Held []struct{ Target, By string } }
	}
	call(t, http.MethodGet, p.url+"/services/checkout/environments/production/status", nil, &status)
	if held := status.Traffic.Held; len(held) != 1 || held[0].Target != "web-4" || held[0].By != "weight" {
		t.Errorf("held are %+v", held)
	}
}
