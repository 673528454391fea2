package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// message is one server-sent event.
type message struct {
	kind, id string
	data     struct {
		Seq          int
		DeploymentID string `json:"deployment_id"`
		State        string
		Reason       string
	}
}

// stream is an open stream of events; it ends with the test.
type stream struct {
	t        *testing.T
	messages chan message
	// err is why reading ended, nil for a clean end; it may be read once messages is closed.
	err error
}

func (p *process) stream(t *testing.T, path, after string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %d", path, res.StatusCode)
	}
	s := &stream{t: t, messages: make(chan message, 10000)}
	go func() {
		defer res.Body.Close()
		s.err = s.read(res.Body)
		close(s.messages)
	}()
	return s
}

func (s *stream) read(body io.Reader) error {
	var m message
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
			if err := json.Unmarshal([]byte(value), &m.data); err != nil {
				return nil //nolint:nilerr // the line was cut: no message
			}
		case "":
			s.messages <- m
			m = message{}
		}
	}
	return lines.Err()
}

// next is the next message; false at the end of the stream.
func (s *stream) next() (message, bool) {
	s.t.Helper()
	select {
	case m, open := <-s.messages:
		return m, open
	case <-time.After(30 * time.Second):
		s.t.Fatal("nothing comes")
		return message{}, false
	}
}

// log is what a watcher of one deployment has seen of it.
type log struct {
	t     *testing.T
	last  string
	seq   int
	state string
	ended string
}

// follow reads the stream until it ends, or as soon as enough says so; each event must be the next one.
func (l *log) follow(s *stream, enough func() bool) error {
	l.t.Helper()
	for !enough() {
		m, open := s.next()
		switch {
		case !open:
			return s.err
		case m.kind == "deployment":
			l.state = m.data.State
		case m.kind == "end":
			l.ended = m.data.Reason
		case m.data.Seq > 0:
			if m.data.Seq != l.seq+1 {
				l.t.Fatalf("event %d came after %d", m.data.Seq, l.seq)
			}
			l.seq, l.last = m.data.Seq, m.id
		}
	}
	return nil
}

func never() bool { return false }

func TestFeed_WatcherResumesAcrossRestarts(t *testing.T) {
	t.Parallel()
	f := slowly(t, 14)
	database := dbtest.New(t)
	first, second, third := serve(t, database), serve(t, database), serve(t, database)
	d := first.post(request(f, "v2", object{"type": "rolling"}))
	path := "/deployments/" + d.ID + "/events"
	seen := &log{t: t}

	cut := first.stream(t, path, "")
	if err := seen.follow(cut, func() bool { return seen.seq >= 10 }); err != nil {
		t.Fatal(err)
	}
	first.kill()
	if err := seen.follow(cut, never); err == nil && seen.ended == "" {
		t.Error("a stream that was cut looks whole")
	}
	stopped := second.stream(t, path, seen.last)
	before := seen.seq
	if err := seen.follow(stopped, func() bool { return seen.seq >= before+5 }); err != nil {
		t.Fatal(err)
	}
	if took := second.stop(); took > 2500*time.Millisecond {
		t.Errorf("stopping with a watcher took %s", took)
	}
	if err := seen.follow(stopped, never); err != nil || seen.ended != "server shutting down" {
		t.Errorf("the stream of a server that stops ends with %v, %q", err, seen.ended)
	}
	if err := seen.follow(third.stream(t, path, seen.last), never); err != nil || seen.ended != "deployment finished" || seen.state != "completed" {
		t.Errorf("ended with %v, %q, %s", err, seen.ended, seen.state)
	}
	if all := list[event](third, path); len(all) != seen.seq {
		t.Errorf("%d events were seen of %d", seen.seq, len(all))
	}
}

func TestFeed_WatcherSurvivesDatabaseLoss(t *testing.T) {
	t.Parallel()
	f := slowly(t, 8)
	database := linked(t, dbtest.New(t))
	p := serve(t, database.url)
	d := p.post(request(f, "v2", object{"type": "rolling"}))
	path := "/deployments/" + d.ID + "/events"
	seen := &log{t: t}
	one, all := p.stream(t, path, ""), p.stream(t, "/events", "")
	if err := seen.follow(one, func() bool { return seen.seq >= 8 }); err != nil {
		t.Fatal(err)
	}
	repair := database.refuse()
	p.awaitLine("event feed stalled")
	repair()
	if err := seen.follow(one, never); err != nil || seen.ended != "deployment finished" || seen.state != "completed" {
		t.Errorf("ended with %v, %q, %s", err, seen.ended, seen.state)
	}
	for state := ""; state != "completed"; {
		m, open := all.next()
		if !open {
			t.Fatal("the stream of all deployments has ended")
		}
		state = m.data.State
	}
}

func TestFeed_ManyWatchersSeeTheEnd(t *testing.T) {
	t.Parallel()
	const watchers = 300
	f := newFleet(t, 20, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 100 * time.Millisecond })
	}
	p := serve(t, dbtest.New(t))
	d := p.post(request(f, "v2", object{"type": "rolling", "batch_size": 4}))
	path := "/deployments/" + d.ID + "/events"
	streams := make([]*stream, watchers)
	for i := range streams {
		streams[i] = p.stream(t, path, "")
	}
	total := 0
	for _, s := range streams {
		seen := &log{t: t}
		if err := seen.follow(s, never); err != nil || seen.state != "completed" {
			t.Fatalf("ended with %v, %s", err, seen.state)
		}
		if total = max(total, seen.seq); seen.seq != total {
			t.Fatalf("one saw %d events, another %d", seen.seq, total)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p.awaitCalm(ctx)
}

// awaitCalm waits until the server holds no stream any more: all of its goroutines are those of an idle server.
func (p *process) awaitCalm(ctx context.Context) {
	p.t.Helper()
	const idle = 60
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		_, data := call(p.t, http.MethodGet, p.url+"/metrics", nil, nil)
		for line := range strings.Lines(string(data)) {
			var n int
			if _, value, found := strings.Cut(line, "go_goroutines "); found && json.Unmarshal([]byte(strings.TrimSpace(value)), &n) == nil && n < idle {
				return
			}
		}
		select {
		case <-ctx.Done():
			p.t.Errorf("goroutines are left of the watchers:\n%s", data)
			return
		case <-poll.C:
		}
	}
}
