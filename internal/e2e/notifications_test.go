package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// heard is one message as a receiver got it.
type heard struct {
	id   string
	kind string
	// State and Deployment are those of the message's data.
	state, deployment string
	// waiting is the wait that it reports, with the reason.
	waiting string
}

// hearer receives webhooks; hang, while it is not nil, is called after a message was kept and before it is answered.
type hearer struct {
	*httptest.Server
	t     *testing.T
	mu    sync.Mutex
	heard []heard
	hang  func(q *http.Request)
}

const hearersKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newHearer(t *testing.T) *hearer {
	t.Helper()
	oracle, err := standardwebhooks.NewWebhook(hearersKey)
	if err != nil {
		t.Fatal(err)
	}
	h := &hearer{t: t}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if err := oracle.Verify(body, q.Header); err != nil {
			t.Errorf("a message that is not signed: %v", err)
		}
		var m struct {
			Type string
			Data *struct {
				ID, State, Reason string
				Waiting           *struct {
					For  string
					Wave int
				}
			}
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		got := heard{id: q.Header.Get("Webhook-Id"), kind: m.Type}
		if m.Data != nil {
			got.state, got.deployment = m.Data.State, m.Data.ID
			if w := m.Data.Waiting; w != nil {
				got.waiting = fmt.Sprintf("%s %d: %s", w.For, w.Wave, m.Data.Reason)
			}
		}
		h.mu.Lock()
		h.heard = append(h.heard, got)
		hang := h.hang
		h.mu.Unlock()
		if hang != nil {
			hang(q)
		}
	}))
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	return h
}

func (h *hearer) all() []heard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]heard(nil), h.heard...)
}

// hanging makes the hearer answer no call, until it is called with false.
func (h *hearer) hanging(yes bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hang = nil; yes {
		h.hang = func(q *http.Request) { <-q.Context().Done() }
	}
}

func (h *hearer) await(what string, is func([]heard) bool) []heard {
	h.t.Helper()
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if all := h.all(); is(all) {
			return all
		}
		if time.Now().After(end) {
			h.t.Fatalf("not %s within 40s: %+v", what, h.all())
		}
	}
}

// notifyHearer makes a notification that the hearer gets.
func (p *process) notifyHearer(h *hearer, name string, more object) {
	p.t.Helper()
	body := object{"kind": "webhook", "url": h.URL + "/hear", "secret": hearersKey}
	for field, value := range more {
		body[field] = value
	}
	answer, said := call(p.t, http.MethodPut, p.url+"/notifications/"+name, body, nil)
	if answer.StatusCode/100 != 2 {
		p.t.Fatalf("%d: %s", answer.StatusCode, said)
	}
}

func TestNotifications_StartThenEnd(t *testing.T) {
	t.Parallel()
	p, f, h, deaf := serve(t, dbtest.New(t)), newFleet(t, 2, "v1"), newHearer(t), newHearer(t)
	p.notifyHearer(h, "main", nil)
	p.notifyHearer(deaf, "others", object{"services": []string{"search"}})
	d := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	all := h.await("sent", func(all []heard) bool { return len(all) >= 2 })
	want := []heard{{kind: "deployment.started", state: "in_progress"}, {kind: "deployment.completed", state: "completed"}}
	for i, m := range all {
		if i >= len(want) || m.kind != want[i].kind || m.state != want[i].state || m.deployment != d.ID {
			t.Errorf("%+v", all)
		}
	}
	if got := deaf.all(); len(got) != 0 {
		t.Errorf("what was not subscribed was sent: %+v", got)
	}
}

// waits lists the waits that were sent, as "for wave", without repetitions of one id.
func (h *hearer) waits(all []heard) (sent []string) {
	seen := map[string]bool{}
	for _, m := range all {
		if m.kind == "deployment.waiting" && !seen[m.id] {
			seen[m.id] = true
			sent = append(sent, m.waiting)
		}
	}
	return sent
}

func TestNotifications_EachWaitIsSent(t *testing.T) {
	t.Parallel()
	database, f, h := dbtest.New(t), newFleet(t, 2, "v1"), newHearer(t)
	p := serve(t, database)
	p.notifyHearer(h, "people", object{"states": []string{"waiting"}})
	body := request(f, "v2", object{
		"type": "canary", "stages": []object{{"percent": 50, "duration": "0s", "promotion": "manual"}, {"percent": 100, "duration": "0s"}},
		"on_failure": "pause", "success_threshold": 1,
	})
	f.Targets[1].QueueBehaviours(testtarget.Behaviour{Status: 400})
	d := p.post(body)
	h.await("sent of the gate", func(all []heard) bool { return len(h.waits(all)) == 1 })
	p.kill() // its successor waits at the same gate, and sends nothing again
	p = serve(t, database)
	p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	all := h.await("sent of the failure", func(all []heard) bool { return len(h.waits(all)) == 2 })
	if got := h.waits(all); !slices.Equal(got, []string{
		"gate 1: stage 1 of 2 (50%) verified; waiting for promotion", got[1],
	}) || !strings.HasPrefix(got[1], "failure 0: paused: ") {
		t.Errorf("sent %q", got)
	}
	p.ask("/deployments/"+d.ID+"/rollback", http.StatusOK)
	assertEnd(p, p.awaitEnd(d.ID), "rolled_back", false)
	if got := h.waits(h.all()); len(got) != 2 {
		t.Errorf("sent %q", got)
	}
}

func TestNotifications_ApprovalIsSent(t *testing.T) {
	t.Parallel()
	p, f, h := serve(t, dbtest.New(t)), newFleet(t, 1, "v1"), newHearer(t)
	p.notifyHearer(h, "people", nil)
	body := request(f, "v2", object{"type": "rolling"})
	definition := maps.Clone(body)
	delete(definition, "version")
	delete(definition, "service")
	delete(definition, "environment")
	definition["protected"] = true
	call(t, http.MethodPut, p.url+"/services/checkout/environments/production", definition, nil)
	d := p.post(body)
	h.await("sent", func(all []heard) bool { return len(h.waits(all)) == 1 })
	if got := h.waits(h.all())[0]; !strings.HasPrefix(got, "approval 0: awaiting approval by someone other") {
		t.Errorf("sent %q", got)
	}
	p.ask("/deployments/"+d.ID+"/abort", http.StatusOK)
	all := h.await("sent of the end", func(all []heard) bool { return len(all) == 2 })
	if all[1].kind != "deployment.aborted" || all[1].waiting != "" {
		t.Errorf("%+v", all)
	}
}

func TestNotifications_NoChecksClaimNoHealth(t *testing.T) {
	t.Parallel()
	p, f := serve(t, dbtest.New(t)), newFleet(t, 1, "v1")
	body := request(f, "v2", object{"type": "rolling"})
	body["health_checks"] = []object{{"type": "none"}}
	d := p.awaitEnd(p.post(body).ID)
	assertEnd(p, d, "completed", true)
	if got := list[targetResult](p, "/deployments/"+d.ID+"/targets")[0]; got.Health != "unknown" || got.State != "updated" {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{"/deployments/" + d.ID + "/events", "/services/checkout/environments/production/status", "/ui/services", "/ui/deployments/" + d.ID} {
		res, text := call(t, http.MethodGet, p.url+path, nil, nil)
		if res.StatusCode != http.StatusOK || strings.Contains(strings.ReplaceAll(string(text), "unhealthy", ""), "healthy") {
			t.Errorf("%s answers %d and claims health: %.2000s", path, res.StatusCode, text)
		}
	}
}

func TestNotifications_ResendKeepsID(t *testing.T) {
	t.Parallel()
	database, f, h := dbtest.New(t), newFleet(t, 1, "v1"), newHearer(t)
	p := serve(t, database)
	p.notifyHearer(h, "main", object{"states": []string{"completed"}})
	h.hanging(true)
	p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	before := h.await("sent", func(all []heard) bool { return len(all) == 1 })
	p.kill()
	h.hanging(false)
	p = serve(t, database)
	after := h.await("sent again", func(all []heard) bool { return len(all) == 2 })
	if after[1] != before[0] {
		t.Errorf("sent %+v, and then %+v", before[0], after[1])
	}
	d := p.delivered("main", 1)[0]
	if d.Status != "delivered" || d.ID != before[0].id || len(d.Attempts) != 2 || *d.Attempts[0].Result != "lost" || *d.Attempts[1].Result != "done" {
		t.Errorf("%+v", d)
	}
}

func TestNotifications_TakeoverOfDeadReplica(t *testing.T) {
	t.Parallel()
	database, f, h := dbtest.New(t), newFleet(t, 1, "v1"), newHearer(t)
	first := serve(t, database, "--lease=2s")
	first.notifyHearer(h, "main", object{"states": []string{"completed"}})
	h.hanging(true)
	first.awaitEnd(first.post(request(f, "v2", object{"type": "rolling"})).ID)
	h.await("sent", func(all []heard) bool { return len(all) == 1 })
	second := serve(t, database, "--lease=2s")
	first.kill()
	h.hanging(false)
	all := h.await("sent again", func(all []heard) bool { return len(all) == 2 })
	d := second.delivered("main", 1)[0]
	if all[0] != all[1] || d.Attempts[0].Replica == d.Attempts[1].Replica {
		t.Errorf("%+v: %+v", all, d)
	}
}

func TestNotifications_StoppingReplicaSendsOnce(t *testing.T) {
	t.Parallel()
	database, f, h := dbtest.New(t), newFleet(t, 1, "v1"), newHearer(t)
	first := serve(t, database)
	first.notifyHearer(h, "main", object{"states": []string{"completed"}})
	answer := make(chan struct{})
	h.hang = func(*http.Request) { <-answer }
	first.awaitEnd(first.post(request(f, "v2", object{"type": "rolling"})).ID)
	h.await("sent", func(all []heard) bool { return len(all) == 1 })
	second := serve(t, database)
	time.AfterFunc(1500*time.Millisecond, func() { close(answer) }) // a receiver that takes its time, and other replicas look twice a second
	first.stop()
	d := second.delivered("main", 1)[0]
	if d.Status != "delivered" || len(d.Attempts) != 1 || len(h.all()) != 1 {
		t.Errorf("sent %d times: %+v", len(h.all()), d)
	}
}

func TestNotifications_HangingReceiverDelaysNothing(t *testing.T) {
	t.Parallel()
	p, h := serve(t, dbtest.New(t)), newHearer(t)
	p.notifyHearer(h, "main", nil)
	h.hanging(true)
	began := time.Now()
	for i := range 6 {
		f := newFleet(t, 1, "v1")
		body := request(f, "v2", object{"type": "rolling"})
		body["service"] = fmt.Sprintf("s%d", i)
		if d := p.awaitEnd(p.post(body).ID); d.State != "completed" {
			t.Errorf("%s", d.State)
		}
	}
	if took := time.Since(began); took > 14*time.Second {
		t.Errorf("six deployments took %s", took)
	}
	metrics := p.metrics()
	if !strings.Contains(metrics, `rollcall_notification_deliveries_pending{kind="webhook"} 12`) ||
		!strings.Contains(metrics, `rollcall_notification_oldest_pending_seconds{kind="webhook"}`) {
		t.Errorf("the metrics do not say what is pending:\n%s", metrics)
	}
}

func (p *process) metrics() string {
	p.t.Helper()
	_, text := call(p.t, http.MethodGet, p.url+"/metrics", nil, nil)
	return string(text)
}

// deliveryEntry is a line of the delivery log.
type deliveryEntry struct {
	ID, Status, Type string
	Attempts         []struct {
		Attempt         int
		Replica, Detail string
		Result          *string
	}
}

// delivered waits until so many deliveries are over.
func (p *process) delivered(name string, n int) []deliveryEntry {
	p.t.Helper()
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		over := []deliveryEntry{}
		for _, d := range list[deliveryEntry](p, "/notifications/"+name+"/deliveries") {
			if d.Status != "pending" {
				over = append(over, d)
			}
		}
		if len(over) >= n {
			return over
		}
		if time.Now().After(end) {
			p.t.Fatalf("%d of %d are over", len(over), n)
		}
	}
}

func TestCLI_NotificationsLifecycle(t *testing.T) {
	t.Parallel()
	p, h := serve(t, dbtest.New(t)), newHearer(t)
	p.rollcall(t, "notifications", "list").want(0, "NOTIFICATION", "KIND")
	p.rollcall(t, "notifications", "show", "main").want(2, "no notification")
	p.rollcall(t, "notifications", "put", "main", "--kind=webhook").want(2, "/url")
	file := written(t, "notification.yaml", "kind: webhook\nurl: "+h.URL+"/planted\nsecret: "+hearersKey+"\n")
	made := p.rollcall(t, "notifications", "put", "main", "-f", file, "--service=checkout", "--state=failed").want(0, "main", "webhook", "checkout", "failed")
	if strings.Contains(made.out+made.err, "planted") {
		t.Errorf("the url is shown: %s%s", made.out, made.err)
	}
	p.rollcall(t, "notifications", "put", "main", "--kind=webhook", "--state=completed").want(0, "completed", "*")
	p.rollcall(t, "notifications", "test", "main").want(0, "test message queued", "deliveries main")
	p.delivered("main", 1)
	p.rollcall(t, "notifications", "deliveries", "main").want(0, "delivered", "notification.test", "attempt 1", "done", "HTTP 200")
	viewer := strings.TrimSpace(p.rollcall(t, "tokens", "create", "eve", "--role=viewer").want(0).out)
	p.rollcall(t, "notifications", "list", "--token="+viewer).want(0, "main")
	for _, refused := range [][]string{{"put", "main", "--kind=webhook"}, {"test", "main"}, {"delete", "main"}} {
		p.rollcall(t, append(append([]string{"notifications"}, refused...), "--token="+viewer)...).want(2, "viewer")
	}
	var shown map[string]any
	if err := json.Unmarshal([]byte(p.rollcall(t, "notifications", "show", "main", "--json").want(0).out), &shown); err != nil || shown["has_secret"] != true {
		t.Errorf("%v %v", shown, err)
	}
	p.rollcall(t, "notifications", "delete", "main").want(0, "notification main deleted")
	p.rollcall(t, "notifications", "list").want(0)
}
