package e2e

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// TestTargetRecord_NewAddressIsNewMachine brings a version to a target, and again when its id stands for a machine at
// another address: nothing is known of that one. Another spelling of the address is the same machine.
func TestTargetRecord_NewAddressIsNewMachine(t *testing.T) {
	t.Parallel()
	old, fresh := newFleet(t, 1, "v1"), newFleet(t, 1, "none")
	p := serve(t, dbtest.New(t))
	body := request(old, "v2", nil)
	delete(body, "strategy")
	body["health_checks"] = []object{{"type": "http", "path": "/health", "interval": "20ms"}} // reports no version
	at := func(address string) deployment {
		body["targets"] = []object{{"id": "web-1", "address": address}}
		if res, data := call(t, "PUT", p.url+"/services/checkout/environments/production", object{"targets": body["targets"]}, nil); res.StatusCode > 201 {
			t.Fatalf("the definition was answered %d %s", res.StatusCode, data)
		}
		return p.awaitEnd(p.post(body).ID)
	}
	assertEnd(p, at(old.Targets[0].URL()), "completed", true)
	assertEnd(p, at(strings.Replace(old.Targets[0].URL(), "http://", "HTTP://", 1)+"/"), "completed", true)
	if n := len(old.Calls()); n != 1 {
		t.Errorf("at the same address in another spelling there were %d calls", n)
	}

	status := func() *string {
		var shown struct {
			Targets []struct{ Version *string }
		}
		call(t, "GET", p.url+"/services/checkout/environments/production/status", nil, &shown)
		return shown.Targets[0].Version
	}
	if v := status(); v == nil || *v != "v2" {
		t.Errorf("before: the status says %v", v)
	}
	res, data := call(t, "PUT", p.url+"/services/checkout/environments/production",
		object{"targets": []object{{"id": "web-1", "address": fresh.Targets[0].URL()}}}, nil)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the definition was answered %d %s", res.StatusCode, data)
	}
	if v := status(); v != nil {
		t.Errorf("the status of a machine that was never seen says %s", *v)
	}
	d := at(fresh.Targets[0].URL())
	assertEnd(p, d, "completed", true)
	if calls := fresh.Calls(); len(calls) != 1 || calls[0].PreviousVersion != "" || fresh.Targets[0].Version() != "v2" {
		t.Errorf("the fresh machine was called %d times and runs %s", len(calls), fresh.Targets[0].Version())
	}
	shown := list[targetResult](p, "/deployments/"+d.ID+"/targets")
	if shown[0].PreviousVersion != nil {
		t.Errorf("its previous version is %s", *shown[0].PreviousVersion)
	}
}

// TestFence_RisesPerAddressUnderAnyName has a target that refuses lower fences than it has seen deployed to under two
// names of a service and of itself, then by a server that knows nothing of that any more.
func TestFence_RisesPerAddressUnderAnyName(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Fenced = true })
	body := request(f, "v2", nil)
	delete(body, "strategy")
	deploy := func(p *process, service, id, version string) {
		t.Helper()
		body["service"], body["version"] = service, version
		part[[]object](body, "targets")[0]["id"] = id
		assertEnd(p, p.awaitEnd(p.post(body).ID), "completed", true)
	}
	first := serve(t, dbtest.New(t))
	deploy(first, "shop40", "web-1", "v2")
	deploy(first, "shop40", "web-1", "v3")
	deploy(first, "store40", "app", "v4")
	deploy(serve(t, dbtest.New(t)), "shop40", "web-1", "v5")
	last := int64(0)
	for _, c := range f.Calls() {
		if c.Fence <= last || c.Fence >= 1<<53 {
			t.Errorf("fence %d after %d", c.Fence, last)
		}
		last = c.Fence
	}
}
