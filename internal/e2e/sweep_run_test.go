package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// moment is a point in a rollout that can be seen from outside: what happens, for the how-manieth time, and how far it has
// come. The zero moment never comes.
type moment struct {
	what string
	n    int
	at   string
}

func (m moment) String() string { return fmt.Sprintf("%s-%d-%s", m.what, m.n, m.at) }

// What is seen. A call and a write have arrived and done nothing yet, or are done and not answered, or are answered; an
// event can be read; a request of the client's is on its way, or answered.
const (
	aCall    = "call"
	aWrite   = "write"
	anEvent  = "event"
	aRequest = "request"

	arrived  = "arrived"
	done     = "done"
	answered = "answered"
	readable = "readable"
	sent     = "sent"
)

// swept is one run of a scenario, in which the server is killed at a moment, and started again. Between the server and
// its targets, its router and its client stands the run itself, and sees what passes.
type swept struct {
	t        *testing.T
	fleet    *testtarget.Fleet
	balancer *balancer
	gate     string
	database string
	state    string
	killAt   moment

	mu     sync.Mutex
	server *process
	seen   map[string]int
	killed bool
	late   bool // killed at the end, because the moment never came
}

func newSwept(t *testing.T, s scenario, killAt moment) *swept {
	f := mixed(t, s.targets)
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 5 * time.Millisecond })
	}
	b := newBalancer(t, f, s.router)
	b.terse = s.terse
	r := &swept{
		t: t, fleet: f, balancer: b, database: dbtest.New(t), state: "--state-dir=" + t.TempDir(),
		killAt: killAt, seen: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /deploy/{target}", func(w http.ResponseWriter, q *http.Request) {
		r.pass(w, q, aCall, f.Target(q.PathValue("target")).URL()+"/deploy")
	})
	mux.HandleFunc("POST /weights", func(w http.ResponseWriter, q *http.Request) { r.pass(w, q, aWrite, r.balancer.url) })
	mux.HandleFunc("GET /weights", r.balancer.read)
	gate := httptest.NewServer(mux)
	r.gate = gate.URL
	t.Cleanup(gate.Close)
	r.server = serve(t, r.database, r.state)
	r.watchEvents()
	return r
}

// request is a deployment over the fleet whose calls pass by the run.
func (r *swept) request(version string, strategy object) object {
	body := routed(r.balancer, version, strategy)
	for _, target := range part[[]object](body, "targets") {
		target["deploy_url"] = fmt.Sprintf("%s/deploy/%s", r.gate, target["id"])
	}
	part[object](body, "traffic")["url"] = r.gate + "/weights"
	part[[]object](body, "health_checks")[0]["interval"] = "20ms"
	body["healthy_deadline"] = "2s"
	return body
}

// pass hands a call on and its answer back, with all three moments of it.
func (r *swept) pass(w http.ResponseWriter, q *http.Request, what, to string) {
	n := r.count(what)
	if r.reach(moment{what, n, arrived}) {
		return // it never gets where it was to go
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the caller was killed meanwhile
	}
	onward, err := http.NewRequestWithContext(context.WithoutCancel(q.Context()), q.Method, to, bytes.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return
	}
	onward.Header = q.Header.Clone()
	res, err := http.DefaultClient.Do(onward)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer res.Body.Close()
	if r.reach(moment{what, n, done}) {
		return
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body) // a caller that was killed reads no answer
	_ = http.NewResponseController(w).Flush()
	r.reach(moment{what, n, answered})
}

func (r *swept) count(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[what]++
	return r.seen[what]
}

// reach kills the server when this is the moment to, and reports so.
func (r *swept) reach(m moment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m != r.killAt || r.killed {
		return false
	}
	r.killed = true
	r.server.kill()
	return true
}

// reachEnd waits for an event that is already there and not yet seen. A run may show a little less than the one before
// it, where two things happened at once: then the server is killed at its end.
func (r *swept) reachEnd() {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); <-poll.C {
		if r.wasKilled() {
			return
		}
	}
	r.t.Logf("%s never came: killed at the end", r.killAt)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late, r.killed = !r.killed, true
	r.server.kill()
}

func (r *swept) wasKilled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.killed
}

// watchEvents counts the events of all deployments as they are committed.
func (r *swept) watchEvents() {
	ctx, stop := context.WithCancel(context.Background())
	conn, err := pgx.Connect(ctx, r.database)
	if err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		poll := time.NewTicker(time.Millisecond)
		defer poll.Stop()
		for ; ctx.Err() == nil; <-poll.C {
			events := 0
			if conn.QueryRow(ctx, `SELECT count(*) FROM deployment_events`).Scan(&events) != nil {
				return
			}
			r.sawEvents(events)
		}
	}()
	r.t.Cleanup(func() {
		stop()
		<-ended
		_ = conn.Close(context.Background()) // it only read
	})
}

func (r *swept) sawEvents(n int) {
	r.mu.Lock()
	before := r.seen[anEvent]
	r.seen[anEvent] = n
	r.mu.Unlock()
	for i := before + 1; i <= n; i++ {
		r.reach(moment{anEvent, i, readable})
	}
}

// alive is the server that runs now: the first one, or after its death another on the same database and folder.
func (r *swept) alive() *process {
	r.mu.Lock()
	p := r.server
	r.mu.Unlock()
	select {
	case <-p.done:
	default:
		return p
	}
	p = serve(r.t, r.database, r.state)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = p
	return p
}

// do asks the server until it answers. What is asked with a key can be asked again; so can every command.
func (r *swept) do(method, path, key string, body any) (int, []byte) {
	r.t.Helper()
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			r.t.Fatal(err)
		}
	}
	n := 0
	if method == http.MethodPost {
		n = r.count(aRequest)
	}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		ctx := httptrace.WithClientTrace(r.t.Context(), &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { r.reach(moment{aRequest, n, sent}) },
		})
		req, err := http.NewRequestWithContext(ctx, method, r.alive().url+path, bytes.NewReader(payload))
		if err != nil {
			r.t.Fatal(err)
		}
		req.GetBody = nil
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // killed: the next one is asked
		}
		data, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // read, or asked for again
		if err == nil && res.StatusCode != http.StatusServiceUnavailable {
			r.reach(moment{aRequest, n, answered})
			return res.StatusCode, data
		}
	}
	r.t.Fatalf("%s %s got no answer", method, path)
	return 0, nil
}

// post creates something, and gives the deployment that it is about.
func (r *swept) post(path, key string, body any) deployment {
	r.t.Helper()
	status, data := r.do(http.MethodPost, path, key, body)
	if status != http.StatusAccepted && status != http.StatusOK {
		r.t.Fatalf("%s answered %d %s", path, status, data)
	}
	var d deployment
	if err := json.Unmarshal(data, &d); err != nil {
		r.t.Fatal(err)
	}
	return d
}

func (r *swept) await(id, what string, is func(*deployment) bool) deployment {
	r.t.Helper()
	var d deployment
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		status, data := r.do(http.MethodGet, fmt.Sprintf("/deployments/%s?wait=1s&after=%d", id, d.Revision), "", nil)
		d = deployment{}
		if err := json.Unmarshal(data, &d); err != nil || status != http.StatusOK {
			r.t.Fatalf("%d %s: %v", status, data, err)
		}
		if is(&d) {
			return d
		}
	}
	r.t.Fatalf("never %s: %s, %s", what, d.State, d.Reason)
	return d
}

// outcome is all that must be the same with a kill as without.
type outcome struct {
	State, Targets, Versions, Traffic string
	Success                           bool
	Updated, Failed, RolledBack       int
}

// end waits for the deployment's end and gives what came of it.
func (r *swept) end(id string) outcome {
	r.t.Helper()
	d := r.await(id, "ended", (*deployment).terminal)
	if !r.wasKilled() && r.killAt != (moment{}) {
		r.reachEnd()
		d = r.await(id, "ended still", (*deployment).terminal)
	}
	p := r.alive()
	var targets, versions []string
	for _, t := range list[targetResult](p, "/deployments/"+id+"/targets") {
		targets = append(targets, fmt.Sprint(t.ID, " ", t.State, " ", deref(t.Version), " after ", deref(t.PreviousVersion)))
	}
	for _, t := range r.fleet.Targets {
		versions = append(versions, t.ID+" runs "+t.Version())
	}
	now, weights := r.balancer.last()
	r.assertPromises(p, id)
	return outcome{
		State: d.State, Success: d.Result.Success, Updated: d.Result.Updated, Failed: d.Result.Failed, RolledBack: d.Result.RolledBack,
		Targets: strings.Join(targets, "; "), Versions: strings.Join(versions, "; "),
		Traffic: fmt.Sprintf("%d:%d %s %v", now.NewWeight, now.OldWeight, now.ActiveSlot, weights),
	}
}

func deref(s *string) string {
	if s == nil {
		return "nothing known"
	}
	return *s
}

// assertPromises checks what must hold however often the server dies; the balancer does so for traffic.
func (r *swept) assertPromises(p *process, id string) {
	r.t.Helper()
	assertTruth(p, id, r.fleet)
	r.balancer.assertDrained(r.t)
	fences := map[string]int64{}
	for _, c := range r.fleet.Calls() {
		if c.Fence <= fences[c.Target] {
			r.t.Errorf("the fence at %s went from %d to %d", c.Target, fences[c.Target], c.Fence)
		}
		fences[c.Target] = c.Fence
	}
}
