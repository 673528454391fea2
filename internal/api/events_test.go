package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"rollcall"
	"rollcall/internal/api"
	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// message is one server-sent event.
type message struct {
	kind, id string
	data     map[string]any
}

// watching is an open stream.
type watching struct {
	t        *testing.T
	messages <-chan message
	close    func()
}

// watch opens a stream; each message is compared with openapi.yaml. The stream ends with the test.
func (c *client) watch(path string, headers ...string) *watching {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		c.t.Fatalf("%s answers %d %s", path, response.StatusCode, response.Header.Get("Content-Type"))
	}
	messages := make(chan message, 10000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(messages)
		decodeBody(c.t, response.Body, messages)
	}()
	stop := func() { cancel(); _ = response.Body.Close(); <-done }
	c.t.Cleanup(stop)
	return &watching{t: c.t, messages: messages, close: stop}
}

// decodeBody parses a stream until it ends.
func decodeBody(t *testing.T, body io.Reader, messages chan<- message) {
	doc, err := openapi3.NewLoader().LoadFromData(rollcall.OpenAPI)
	if err != nil {
		t.Error(err)
		return
	}
	var m message
	var text string
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			m.kind = value
		case "id":
			m.id = value
		case "data":
			text = value
		case "": // what was cut off before this is no message
			m.data = parsed(t, doc, m.kind, text)
			messages <- m
			m, text = message{}, ""
		}
	}
}

// parsed is a message's data, compared with openapi.yaml; nil when there is none.
func parsed(t *testing.T, doc *openapi3.T, kind, text string) map[string]any {
	if text == "" {
		return nil
	}
	var data map[string]any
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Error(err)
	}
	if schema, ok := map[string]string{"": "Event", "deployment": "Deployment"}[kind]; ok {
		if err := doc.Components.Schemas[schema].Value.VisitJSON(data, openapi3.VisitAsResponse()); err != nil {
			t.Errorf("a message breaks openapi.yaml: %v\n%s", err, text)
		}
	}
	return data
}

// next is the next message of the kind; the others that come before it are let go.
func (w *watching) next(kind string) message {
	w.t.Helper()
	for {
		m, open := w.any()
		if !open {
			w.t.Fatalf("the stream ended before a message of kind %q", kind)
		}
		if m.kind == kind && m.data != nil {
			return m
		}
	}
}

func (w *watching) any() (message, bool) {
	w.t.Helper()
	select {
	case m, open := <-w.messages:
		return m, open
	case <-time.After(20 * time.Second):
		w.t.Fatal("nothing comes")
		return message{}, false
	}
}

// seqs are the numbers of the next n events.
func (w *watching) seqs(n int) (list []int) {
	w.t.Helper()
	for range n {
		seq, _ := w.next("").data["seq"].(float64)
		list = append(list, int(seq))
	}
	return list
}

// ended reads to the end of the stream and answers with the reason that it gave.
func (w *watching) ended() string {
	w.t.Helper()
	var last message
	for {
		m, open := w.any()
		if !open {
			reason, _ := last.data["reason"].(string)
			return reason
		}
		last = m
	}
}

func TestStream_SendsEventsThenStatesUntilEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	snap := s.begun("checkout", "v2", 3, updated)
	w := s.watch("/deployments/" + snap.Deployment.ID + "/events")
	if got := w.seqs(int(snap.Deployment.LastSeq)); got[0] != 1 || got[len(got)-1] != int(snap.Deployment.LastSeq) {
		t.Errorf("events %v of %d", got, snap.Deployment.LastSeq)
	}
	if d := w.next("deployment"); d.data["revision"] != float64(snap.Deployment.Revision) || d.id != "" {
		t.Errorf("the state is %v with id %q, want revision %d", d.data["revision"], d.id, snap.Deployment.Revision)
	}
	s.end(snap, rollout.StateCompleted)
	last := w.next("")
	if last.data["seq"] != float64(snap.Deployment.LastSeq) || last.id != last.data["id"] {
		t.Errorf("%v with id %s", last.data, last.id)
	}
	if d := w.next("deployment"); d.data["state"] != "completed" {
		t.Errorf("the last state is %v", d.data["state"])
	}
	if reason := w.ended(); reason != "deployment finished" {
		t.Errorf("ended because %q", reason)
	}
}

func TestStream_ResumesOnAnyReplica(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	other := s.replica()
	snap := s.begun("checkout", "v2", 3, updated)
	path := "/deployments/" + snap.Deployment.ID + "/events"
	w := s.watch(path)
	first := w.next("")
	w.close()
	s.end(snap, rollout.StateCompleted)
	total := int(snap.Deployment.LastSeq)
	for _, c := range []*client{s.client, other} {
		for _, resumed := range []*watching{
			c.watch(path, "Last-Event-ID", first.id), c.watch(path + "?after=" + first.id), c.watch(path+"?after=0", "Last-Event-ID", first.id),
		} {
			if got := resumed.seqs(total - 1); got[0] != 2 || got[len(got)-1] != total {
				t.Errorf("resumed after 1 with %v of %d", got, total)
			}
			if reason := resumed.ended(); reason != "deployment finished" {
				t.Errorf("ended because %q", reason)
			}
		}
	}
	last := s.lastEvent(snap.Deployment.ID)
	s.get(path, "Accept", "text/event-stream", "Last-Event-ID", strconv.FormatInt(last.ID, 10)).want(t, http.StatusNoContent)
	if reason := s.watch(path + "?after=" + strconv.FormatInt(last.ID, 10)).ended(); reason == "" {
		t.Error("a stream that starts after the last event does not end")
	}
}

func TestStream_RefusalIsAProblem(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.created(s.request("checkout", "v2", 1))
	path := "/deployments/" + id + "/events"
	const accept, stream = "Accept", "text/event-stream"
	s.get("/deployments/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11/events", accept, stream).wantProblem(t, http.StatusNotFound, noPointer)
	s.get(path+"?limit=5", accept, stream).wantProblem(t, http.StatusUnprocessableEntity, "/limit")
	s.get(path+"?cursor=x", accept, stream).wantProblem(t, http.StatusUnprocessableEntity, "/cursor")
	s.get(path+"?after=1").wantProblem(t, http.StatusUnprocessableEntity, "/after")
	s.get(path, accept, stream, "Last-Event-ID", "x").wantProblem(t, http.StatusBadRequest, noPointer)
	s.get("/events?after=x").wantProblem(t, http.StatusUnprocessableEntity, "/after")
	s.get("/events?service=X").wantProblem(t, http.StatusUnprocessableEntity, "/service")
	s.do(http.MethodHead, "/events", "").want(t, http.StatusOK)
	s.do(http.MethodHead, path, "", accept, stream).want(t, http.StatusOK)
}

func TestStream_OfAllStartsNowOrAtEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.created(s.request("checkout", "v1", 1))
	w, mine := s.watch("/events"), s.watch("/events?service=shop&environment=production")
	opening, _ := w.any()
	if opening.id == "" {
		t.Error("the stream does not say where it begins")
	}
	s.created(s.request("cart", "v1", 1))
	shop := s.created(s.request("shop", "v1", 1))
	if e := w.next(""); e.data["service"] != "cart" || e.data["deployment_id"] == before {
		t.Errorf("the first is %v", e.data)
	}
	if e := mine.next(""); e.data["deployment_id"] != shop || e.data["service"] != "shop" || e.data["environment"] != "production" {
		t.Errorf("the first of the shop is %v", e.data)
	}
	if d := mine.next("deployment"); d.data["id"] != shop || d.data["state"] != "pending" {
		t.Errorf("the state is %v", d.data)
	}
	for _, again := range []*watching{s.watch("/events", "Last-Event-ID", opening.id), s.watch("/events?after=" + opening.id)} {
		if e := again.next(""); e.data["service"] != "cart" {
			t.Errorf("resumed with %v", e.data)
		}
	}
	if e := s.watch("/events?after=0").next(""); e.data["deployment_id"] != before || e.data["seq"] != 1.0 {
		t.Errorf("from the beginning: %v", e.data)
	}
}

func TestStream_OfAllIsCompleteAcrossReconnects(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	other := s.replica()
	const services, rounds = 6, 12
	opening, _ := s.watch("/events").any()
	done := make(chan struct{})
	go func() {
		defer close(done)
		atOnce(services, func(i int) {
			for range rounds {
				s.created(s.request(fmt.Sprintf("service-%d", i), "v1", 2)) // each supersedes the one before
			}
		})
	}()
	want := services * (2*rounds - 1)
	last := opening.id
	seen := map[string]int{}
	for got := 0; got < want; {
		c := []*client{s.client, other}[got%2]
		w := c.watch("/events", "Last-Event-ID", last)
		for range 9 {
			if got == want {
				break
			}
			e := w.next("")
			before, _ := strconv.Atoi(last)
			if id, _ := strconv.Atoi(e.id); id <= before {
				t.Fatalf("event %s after %s", e.id, last)
			}
			deployment, _ := e.data["deployment_id"].(string)
			seen[deployment]++
			if e.data["seq"] != float64(seen[deployment]) {
				t.Fatalf("number %v of %s is its event %d to come", e.data["seq"], deployment, seen[deployment])
			}
			last = e.id
			got++
		}
		w.close()
	}
	<-done
}

func TestStream_SlowReaderMissesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	snap := s.begun("checkout", "v2", 1, updated)
	w := s.watch("/deployments/" + snap.Deployment.ID + "/events")
	events := make([]rollout.Event, 500)
	for i := range events {
		events[i] = rollout.Event{At: time.Now(), Type: rollout.EventTargetResult, Message: strings.Repeat("x", 2000)}
	}
	for range 8 {
		saved, err := s.store.SaveDeployment(t.Context(), storage.SaveRequest{Deployment: snap.Deployment, Events: events})
		if err != nil {
			t.Fatal(err)
		}
		d := &snap.Deployment
		d.Revision, d.LastSeq, d.EventsHash, d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
	}
	s.end(snap, rollout.StateCompleted)
	total := int(snap.Deployment.LastSeq)
	late := s.watch("/deployments/" + snap.Deployment.ID + "/events")
	for _, reader := range []*watching{w, late} {
		for i, seq := range reader.seqs(total) {
			if seq != i+1 {
				t.Fatalf("event %d has number %d", i+1, seq)
			}
		}
		if d := reader.next("deployment"); d.data["state"] != "completed" {
			t.Errorf("the state is %v", d.data["state"])
		}
	}
}

func TestStream_KeepsScopesAndEndsWithCredential(t *testing.T) {
	t.Parallel()
	operator, s := serveGuarded(t)
	shopkeeper := operator.holder("shopkeeper", authz.RoleViewer, "shop/*")
	tokens, _ := operator.items("/tokens", "id")
	hidden := operator.created(deploymentOf("checkout", "production"))
	all, everything := shopkeeper.watch("/events?after=0"), operator.watch("/events?after=0")
	shopkeeper.get("/deployments/"+hidden+"/events", "Accept", "text/event-stream").wantProblem(t, http.StatusNotFound, noPointer)
	own := operator.created(deploymentOf("shop", "production"))
	operator.created(deploymentOf("checkout", "test"))
	again := operator.created(deploymentOf("shop", "test"))
	// Events and states come in any order to each other.
	awaited := map[string]bool{own: true, again: true, "deployment " + own: true, "deployment " + again: true}
	for len(awaited) > 0 {
		m, open := all.any()
		if !open {
			t.Fatal("the shopkeeper's stream ended early")
		}
		if m.data == nil {
			continue
		}
		if m.data["service"] != "shop" {
			t.Errorf("the shopkeeper sees %v", m.data)
		}
		delete(awaited, strings.TrimSpace(fmt.Sprint(m.kind, " ", m.data["id"])))
		delete(awaited, fmt.Sprint(m.data["deployment_id"]))
	}
	if e := everything.next(""); e.data["deployment_id"] != hidden {
		t.Errorf("the operator sees first %v", e.data)
	}
	id, _ := tokens[0].(string)
	if err := s.RevokeToken(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if reason := all.ended(); reason != "credential expired or revoked" {
		t.Errorf("the stream of a revoked token ends with %q", reason)
	}
}

func TestStream_OutlastsServerTimeouts(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const timeout = 200 * time.Millisecond
	c := serveWithin(t, api.Config{Store: s.store}, timeout)
	snap := s.begun("checkout", "v2", 1, updated)
	w := c.watch("/deployments/" + snap.Deployment.ID + "/events")
	w.next("deployment")
	path := fmt.Sprintf("/deployments/%s?wait=%s&after=%d", snap.Deployment.ID, 5*timeout, snap.Deployment.Revision)
	for range 2 {
		began := time.Now()
		if c.get(path).want(t, http.StatusOK); time.Since(began) < 5*timeout {
			t.Errorf("a wait of %s ended after %s", 5*timeout, time.Since(began))
		}
	}
	s.end(snap, rollout.StateCompleted)
	if d := w.next("deployment"); d.data["state"] != "completed" {
		t.Errorf("%v", d.data)
	}
}

func TestStream_StalledReaderIsDisconnected(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	over := make(chan struct{})
	c := serve(t, api.Config{Store: s.store, Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(over)
			next.ServeHTTP(w, r)
		})
	}})
	snap := s.begun("checkout", "v2", 1, updated)
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := fmt.Sprintf("GET /deployments/%s/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", snap.Deployment.ID)
	if _, err := io.WriteString(conn, ask); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	big := make([]rollout.Event, 1000)
	for i := range big {
		big[i] = rollout.Event{At: time.Now(), Type: rollout.EventTargetResult, Message: strings.Repeat("x", 20000)}
	}
	if _, err := s.store.SaveDeployment(t.Context(), storage.SaveRequest{Deployment: snap.Deployment, Events: big}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-over:
	case <-time.After(time.Minute):
		t.Fatal("it waits for a reader who takes nothing")
	}
	came, err := io.ReadAll(conn)
	if err == nil && bytes.HasSuffix(came, []byte("\r\n0\r\n\r\n")) {
		t.Errorf("the stream ended, after %d bytes, as if it were whole", len(came))
	}
}
