package e2e

import (
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// reload starts another HAProxy with the configuration, which lets the present one finish (-sf).
func (p *proxy) reload() {
	p.t.Helper()
	old := p.cmd
	p.cmd = exec.CommandContext(p.t.Context(), haproxyProgram(p.t), "-db", "-f", p.config, "-sf", strconv.Itoa(old.Process.Pid))
	p.cmd.ExtraFiles = p.files
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if err := old.Wait(); err != nil {
		p.t.Logf("the old process: %v", err)
	}
}

// greenServes completes a blue-green deployment behind HAProxy.
func greenServes(t *testing.T, p *process) (*testtarget.Fleet, *proxy, deployment) {
	t.Helper()
	f := newFleet(t, 4, "v1")
	proxy := startProxyWeighted(t, f, func(int) int { return 100 })
	d := p.awaitEnd(p.post(inSlots(proxy.request(f, "v2", blueGreen(nil)))).ID)
	assertEnd(p, d, "completed", true)
	proxy.assertWeights(0, 0, 100, 100)
	return f, proxy, d
}

func (p *proxy) assertWeights(want ...int) {
	p.t.Helper()
	if got := p.weights(); !slices.Equal(got, want) {
		p.t.Fatalf("the weights are %v, not %v", got, want)
	}
}

// awaitWeights waits until the router was set again.
func (p *proxy) awaitWeights(want ...int) {
	p.t.Helper()
	awaitFact(p.t, "set again", func() bool { return slices.Equal(p.weights(), want) })
}

const lookEverySecond = "--router-interval=1s"

// atRest lists what was written to the log after the deployment's end.
func (p *process) atRest(id string) []string {
	p.t.Helper()
	types := []string{}
	for _, e := range list[event](p, "/deployments/"+id+"/events") {
		if types = append(types, e.Type); e.Type == "deployment.completed" {
			types = []string{}
		}
	}
	return types
}

func TestAtRest_ReloadedHAProxyServesNewSlot(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), lookEverySecond)
	_, proxy, d := greenServes(t, p)
	proxy.reload()
	proxy.awaitWeights(0, 0, 100, 100)
	want := []string{"traffic.drifted", "traffic.intent", "traffic.restored"}
	awaitFact(t, "reported", func() bool { return len(p.atRest(d.ID)) >= len(want) })
	if got := p.atRest(d.ID); !slices.Equal(got, want) {
		t.Errorf("events %v", got)
	}
	p.rollcall(t, "verify", d.ID).want(0)
	if now := p.awaitEnd(d.ID); now.Revision != d.Revision || now.State != "completed" {
		t.Errorf("the record is now %+v", now)
	}
	awaitFact(t, "seen to agree", func() bool {
		s := p.trafficStatus("checkout")
		return s.Differs == nil && s.SeenAt != nil && time.Since(*s.SeenAt) < 5*time.Second
	})
	if next := p.awaitEnd(p.ask("/deployments/"+d.ID+"/rollback", http.StatusAccepted).ID); next.State != "rolled_back" {
		t.Errorf("the rollback is %s", next.State)
	}
	proxy.assertWeights(100, 100, 0, 0)
}

func TestAtRest_OperatorDrainStays(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), lookEverySecond)
	f, proxy, d := greenServes(t, p)
	proxy.say("set server checkout/" + f.Targets[3].ID + " state drain")
	awaitFact(t, "seen", func() bool {
		s := p.trafficStatus("checkout")
		return len(s.Held) == 1 && s.Held[0].Target == f.Targets[3].ID && s.Held[0].By == "drain" && s.Differs == nil
	})
	seen := *p.trafficStatus("checkout").SeenAt
	awaitFact(t, "looked at twice more", func() bool { return p.trafficStatus("checkout").SeenAt.Sub(seen) > 2*time.Second })
	if got := p.atRest(d.ID); len(got) > 0 {
		t.Errorf("events %v", got)
	}
	proxy.assertWeights(0, 0, 100, 100)
}

// An operator goes back to the old slot by hand: to undo half of that would leave no target to serve.
func TestAtRest_ManualSwitchIsShownAndStays(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), lookEverySecond)
	f, proxy, d := greenServes(t, p)
	var commands []string
	for _, i := range []int{2, 3} {
		commands = append(commands, "set server checkout/"+f.Targets[i].ID+" weight 0")
	}
	for _, i := range []int{0, 1} {
		commands = append(commands, "set server checkout/"+f.Targets[i].ID+" weight 100", "set server checkout/"+f.Targets[i].ID+" state ready")
	}
	proxy.say(strings.Join(commands, ";"))
	awaitFact(t, "shown", func() bool { return p.trafficStatus("checkout").Differs != nil })
	awaitFact(t, "measured", func() bool {
		return strings.Contains(p.metrics(), `rollcall_router_drift{environment="production",service="checkout"} 1`)
	})
	if got := p.atRest(d.ID); len(got) > 0 {
		t.Errorf("events %v", got)
	}
	proxy.assertWeights(100, 100, 0, 0)
}

func TestAtRest_UnreachableRouterIsShown(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), lookEverySecond)
	_, proxy, _ := greenServes(t, p)
	_ = proxy.cmd.Process.Kill()
	_ = proxy.cmd.Wait()
	awaitFact(t, "shown", func() bool { return p.trafficStatus("checkout").Error != nil })
	proxy.start()
	proxy.awaitWeights(0, 0, 100, 100)
	awaitFact(t, "repaired", func() bool { s := p.trafficStatus("checkout"); return s.Error == nil && s.Differs == nil })
}

func TestAtRest_TwoReplicasWriteOnce(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	p := serve(t, database, lookEverySecond)
	serve(t, database, lookEverySecond)
	f := mixed(t, 4)
	b := newBalancer(t, f, oneSide)
	d := p.awaitEnd(p.post(inSlots(routed(b, "v2", blueGreen(nil)))).ID)
	assertEnd(p, d, "completed", true)
	before := len(b.all())
	b.restart()
	awaitFact(t, "reported", func() bool { return slices.Contains(p.atRest(d.ID), "traffic.restored") })
	if now, _ := b.last(); now.NewWeight != 100 || now.ActiveSlot != "green" {
		t.Errorf("the router does %+v", now)
	}
	if n := len(b.all()) - before; n != 1 {
		t.Errorf("it was written to %d times", n)
	}
}

// The server is killed while the router has its write and has not answered.
func TestAtRest_WriteOfKilledServerIsResolved(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	p := serve(t, database, lookEverySecond, "--lease=2s")
	f := mixed(t, 4)
	b := newBalancer(t, f, oneSide)
	d := p.awaitEnd(p.post(inSlots(routed(b, "v2", blueGreen(nil)))).ID)
	assertEnd(p, d, "completed", true)
	arrived := make(chan struct{}, 10)
	b.faulty(func(routerWrite) fault { arrived <- struct{}{}; return hangsLate })
	b.restart()
	<-arrived
	p.kill()
	b.faulty(nil)
	p = serve(t, database, lookEverySecond, "--lease=2s")
	awaitFact(t, "settled", func() bool { return slices.Contains(p.atRest(d.ID), "traffic.restored") })
	if got := p.atRest(d.ID); !slices.Contains(got, "traffic.unknown") {
		t.Errorf("events %v", got)
	}
	if now, _ := b.last(); now.NewWeight != 100 || now.ActiveSlot != "green" {
		t.Errorf("the router does %+v", now)
	}
	p.rollcall(t, "verify", d.ID).want(0)
}
