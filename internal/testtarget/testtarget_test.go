package testtarget

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTarget_CallIsAppliedAndRecorded(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	target := f.Targets[0]
	if got := call(t, target, "v2", 7); got != http.StatusOK {
		t.Fatalf("answered %d", got)
	}
	calls := target.Calls()
	if len(calls) != 1 {
		t.Fatalf("%d calls were written down", len(calls))
	}
	c := calls[0]
	if c.Target != "web-1" || c.BodyTarget != "b" || c.Action != "deploy" || c.Version != "v2" || c.PreviousVersion != "v1" || c.DeploymentID != "d" {
		t.Errorf("the body was read as %+v", c)
	}
	if c.WebhookID != "msg_1" || c.WebhookTimestamp != "12" || c.WebhookSignature != "v1,sig" || c.Attempt != 2 || c.Fence != 7 {
		t.Errorf("the headers were read as %+v", c)
	}
	if !c.Applied || c.Status != http.StatusOK || c.Answered.Before(c.Received) || len(c.Body) == 0 {
		t.Errorf("the end was written as %+v", c)
	}
	if target.Version() != "v2" || f.Versions()["web-1"] != "v2" {
		t.Error("the version did not change")
	}
}

func TestTarget_HealthAndVersionFollowCalls(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	wantHealth(t, target, http.StatusOK, "pass", "v1")
	target.SetBehaviour(func(b *Behaviour) { b.Warn = true })
	wantHealth(t, target, http.StatusOK, "warn", "v1")
	target.SetBehaviour(func(b *Behaviour) { b.UnhealthyOn = "v2" })
	call(t, target, "v2", 1)
	wantHealth(t, target, http.StatusServiceUnavailable, "fail", "v2")
	target.SetVersion("v3")
	target.SetBehaviour(func(b *Behaviour) { *b = Behaviour{} })
	wantHealth(t, target, http.StatusOK, "pass", "v3")
	if target.Probes() != 4 {
		t.Errorf("%d probes were counted", target.Probes())
	}
}

func TestTarget_UnhealthyAfterSomeProbes(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.UnhealthyOn, b.UnhealthyAfter = "v2", 2 })
	wantHealth(t, target, http.StatusOK, "pass", "v1")
	call(t, target, "v2", 1)
	wantHealth(t, target, http.StatusOK, "pass", "v2")
	wantHealth(t, target, http.StatusOK, "pass", "v2")
	wantHealth(t, target, http.StatusServiceUnavailable, "fail", "v2")
	call(t, target, "v1", 2)
	wantHealth(t, target, http.StatusOK, "pass", "v1")
}

func TestTarget_UnappliedCallKeepsVersion(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		does   Behaviour
		status int
	}{
		"an error":     {Behaviour{Status: 503, RetryAfter: "2"}, 503},
		"a redirect":   {Behaviour{Status: 302}, 302},
		"a lie":        {Behaviour{Lie: true}, 200},
		"a reset":      {Behaviour{Reset: ResetBefore}, 0},
		"a slow error": {Behaviour{Status: 500, Delay: time.Millisecond}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newFleet(t, 1).Targets[0]
			target.QueueBehaviours(tc.does)
			if got := call(t, target, "v2", 1); got != tc.status {
				t.Errorf("answered %d, not %d", got, tc.status)
			}
			if target.Version() != "v1" || target.Calls()[0].Applied {
				t.Error("it was applied")
			}
			if got := call(t, target, "v2", 2); got != http.StatusOK || target.Version() != "v2" {
				t.Errorf("the next call answered %d", got)
			}
		})
	}
}

func TestTarget_ResetAfterLooksLikeBefore(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.Reset = ResetAfter })
	if got := call(t, target, "v2", 1); got != 0 {
		t.Errorf("answered %d", got)
	}
	if target.Version() != "v2" {
		t.Error("it was not applied")
	}
}

func TestTarget_LateFailureIsApplied(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.QueueBehaviours(Behaviour{Status: 500, FailLate: true})
	if got := call(t, target, "v2", 1); got != 500 || target.Version() != "v2" {
		t.Errorf("answered %d and %s runs", got, target.Version())
	}
}

func TestTarget_BehaviourOnOneVersion(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.Status, b.OnVersion = 302, "v2" })
	if refused, done := call(t, target, "v2", 1), call(t, target, "v3", 2); refused != 302 || done != 200 || target.Version() != "v3" {
		t.Errorf("answered %d and %d, and %s runs", refused, done, target.Version())
	}
}

func TestTarget_ScriptIsForgotten(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.QueueBehaviours(Behaviour{Status: 500})
	target.ClearQueue()
	if got := call(t, target, "v2", 1); got != http.StatusOK {
		t.Errorf("answered %d", got)
	}
}

func TestTarget_SlowBodyIsComplete(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.QueueBehaviours(Behaviour{Drip: 5 * time.Millisecond})
	began := time.Now()
	if got := call(t, target, "v2", 1); got != http.StatusOK || target.Version() != "v2" {
		t.Errorf("answered %d and %s runs", got, target.Version())
	}
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("it came within %s", took)
	}
}

func TestTarget_WorkContinuesBehind504(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.QueueBehaviours(Behaviour{Proxy: 20 * time.Millisecond, Delay: 200 * time.Millisecond})
	if got := call(t, target, "v2", 1); got != http.StatusGatewayTimeout || target.Version() != "v1" || !target.Calls()[0].Answered.IsZero() {
		t.Errorf("answered %d, %s runs, %+v", got, target.Version(), target.Calls()[0])
	}
	eventually(t, func() bool { return !target.Calls()[0].Answered.IsZero() })
	if c := target.Calls()[0]; c.Status != http.StatusOK || !c.Applied || target.Version() != "v2" {
		t.Errorf("%+v, %s runs", c, target.Version())
	}
	target.QueueBehaviours(Behaviour{Proxy: 10 * time.Second})
	if got := call(t, target, "v3", 2); got != http.StatusOK {
		t.Errorf("a proxy with a long timeout answered %d", got)
	}
}

func TestWatch_ReportsReceiptAndReply(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	moments := make(chan Moment, 2)
	f.Watch(func(moment Moment, from string) {
		if from == "" || moment == Received && f.Targets[0].Version() != "v1" {
			t.Errorf("notified of %d from %q when %s runs", moment, from, f.Targets[0].Version())
		}
		moments <- moment
	})
	call(t, f.Targets[0], "v2", 1)
	if first, second := <-moments, <-moments; first != Received || second != Replied {
		t.Errorf("notified of %d and then of %d", first, second)
	}
	f.Watch(nil)
	call(t, f.Targets[0], "v3", 2)
	if len(moments) > 0 {
		t.Error("notified after the end")
	}
}

func TestTarget_AcceptedCallIsAppliedLater(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.Accept, b.Delay = true, 50*time.Millisecond })
	if got := call(t, target, "v2", 1); got != http.StatusAccepted {
		t.Errorf("answered %d", got)
	}
	if target.Version() != "v1" {
		t.Error("it was applied at once")
	}
	eventually(t, func() bool { return target.Version() == "v2" })
}

func TestTarget_FencedRefusesLateCall(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.Fenced = true })
	for _, step := range []struct {
		fence  int64
		status int
	}{{5, 200}, {4, 409}, {5, 200}, {6, 200}} {
		if got := call(t, target, "v"+strconv.FormatInt(step.fence, 10), step.fence); got != step.status {
			t.Errorf("fence %d was answered %d, not %d", step.fence, got, step.status)
		}
	}
	if target.Version() != "v6" {
		t.Errorf("it runs %s", target.Version())
	}
}

func TestTarget_FencedDropsOvertakenWork(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.Fenced = true })
	target.QueueBehaviours(Behaviour{Fenced: true, Delay: 200 * time.Millisecond})
	var old int
	var both sync.WaitGroup
	both.Go(func() { old = call(t, target, "v2", 1) })
	eventually(t, func() bool { return len(target.Calls()) == 1 })
	call(t, target, "v3", 2)
	both.Wait()
	if old != http.StatusConflict || target.Version() != "v3" {
		t.Errorf("the late call was answered %d and %s runs", old, target.Version())
	}
	if target.MaxOpen() != 2 {
		t.Errorf("%d calls were open at once", target.MaxOpen())
	}
}

func TestTarget_HangingCallEndsWithCaller(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.Hang = true })
	ctx, leave := context.WithCancel(t.Context())
	var gone sync.WaitGroup
	gone.Go(func() { send(ctx, t, target, "v2", 1) })
	eventually(t, func() bool { return len(target.Calls()) == 1 })
	if !target.Calls()[0].Answered.IsZero() {
		t.Error("it is not open")
	}
	leave()
	gone.Wait()
	eventually(t, func() bool { return !target.Calls()[0].Answered.IsZero() })
	if c := target.Calls()[0]; c.Applied || c.Status != 0 {
		t.Errorf("it ended as %+v", c)
	}
}

func TestTarget_WorkContinuesWithoutCaller(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	target.SetBehaviour(func(b *Behaviour) { b.Delay = 100 * time.Millisecond })
	ctx, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer leave()
	if got := send(ctx, t, target, "v2", 1); got != 0 {
		t.Errorf("answered %d", got)
	}
	eventually(t, func() bool { return target.Version() == "v2" })
}

func TestTarget_DownRefusesAndUpKeepsAddress(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	call(t, target, "v2", 1)
	url := target.URL()
	target.SetBehaviour(func(b *Behaviour) { b.Hang = true })
	var hung sync.WaitGroup
	hung.Go(func() { call(t, target, "v3", 2) })
	eventually(t, func() bool { return len(target.Calls()) == 2 })
	if err := target.Down(); err != nil {
		t.Fatal(err)
	}
	hung.Wait()
	if got := call(t, target, "v3", 3); got != 0 || len(target.Calls()) != 2 {
		t.Errorf("it answered %d while it was down", got)
	}
	if err := target.Up(); err != nil {
		t.Fatal(err)
	}
	if target.URL() != url {
		t.Errorf("it came back at %s, not %s", target.URL(), url)
	}
	wantHealth(t, target, http.StatusOK, "pass", "v2")
}

func TestJournal_OrdersCallsOfAllTargets(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	for i, id := range []string{"web-2", "web-1", "web-3", "web-1"} {
		call(t, f.Target(id), "v2", int64(i))
	}
	calls := f.Calls()
	for i, id := range []string{"web-2", "web-1", "web-3", "web-1"} {
		if calls[i].Target != id {
			t.Errorf("call %d is of %s", i, calls[i].Target)
		}
	}
	if f.MaxOpen() != 1 || f.Target("web-1").MaxOpen() != 1 || f.Target("web-9") != nil {
		t.Errorf("%d calls were open at once", f.MaxOpen())
	}
	calls[0].Body[0] = 'x'
	if f.Calls()[0].Body[0] == 'x' {
		t.Error("the journal can be changed from outside")
	}
}

func TestListen_TakenAddressLeavesNoTarget(t *testing.T) {
	t.Parallel()
	taken := newFleet(t, 1).Targets[0]
	free := newFleet(t, 1).Targets[0]
	must(t, free.Close())
	addrs := []string{strings.TrimPrefix(free.URL(), "http://"), strings.TrimPrefix(taken.URL(), "http://")}
	if _, err := Listen(addrs, "v1"); err == nil {
		t.Fatal("both started")
	}
	must(t, free.Up())
}

func TestTarget_InvalidBodyIsRefused(t *testing.T) {
	t.Parallel()
	target := newFleet(t, 1).Targets[0]
	res, err := http.Post(target.URL()+"/deploy", "application/json", strings.NewReader("{"))
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != http.StatusBadRequest || len(target.Calls()) != 0 {
		t.Errorf("answered %d", res.StatusCode)
	}
}

func newFleet(t *testing.T, n int) *Fleet {
	t.Helper()
	f, err := New(n, "v1")
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

// call sends a deploy call and gives the status, 0 for no answer.
func call(t *testing.T, target *Target, version string, fence int64) int {
	t.Helper()
	return send(t.Context(), t, target, version, fence)
}

func send(ctx context.Context, t *testing.T, target *Target, version string, fence int64) int {
	t.Helper()
	body := `{"action":"deploy","deployment_id":"d","version":"` + version + `","previous_version":"v1","target":{"id":"b"}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL()+"/deploy", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	req.GetBody = nil // a reset connection must not have net/http send it twice
	req.Header = http.Header{
		"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {"12"}, "Webhook-Signature": {"v1,sig"},
		"Rollcall-Attempt": {"2"}, "Rollcall-Fence": {strconv.FormatInt(fence, 10)},
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body) // only the status counts
	_ = res.Body.Close()
	return res.StatusCode
}

func wantHealth(t *testing.T, target *Target, status int, verdict, version string) {
	t.Helper()
	res, err := http.Get(target.URL() + "/health")
	must(t, err)
	defer func() { must(t, res.Body.Close()) }()
	var got struct{ Status, Version string }
	must(t, json.NewDecoder(res.Body).Decode(&got))
	if res.StatusCode != status || got.Status != verdict || got.Version != version {
		t.Errorf("health is %d %+v", res.StatusCode, got)
	}
}

func eventually(t *testing.T, fact func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
