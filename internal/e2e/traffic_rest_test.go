package e2e

import (
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/fleet"
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
func greenServes(t *testing.T, p *process) (*fleet.Fleet, *proxy, deployment) {
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

func TestRest_ReloadedHAProxyServesTheNewSlotAgain(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), lookEverySecond)
	_, proxy, d := greenServes(t, p)
	proxy.reload()
	proxy.awaitWeights(0, 0, 100, 100)
	want := []string{"traffic.drifted", "traffic.intent", "traffic.restored"}
	awaitFact(t, "told", func() bool { return len(p.atRest(d.ID)) >= len(want) })
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
