package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// failingOver is a database on two servers, of which the second is promoted without what was written after it was cut off.
type failingOver struct {
	t                *testing.T
	primary, standby *dbtest.Server
	url              string
}

func newFailingOver(t *testing.T) *failingOver {
	t.Helper()
	l := &failingOver{t: t}
	l.primary, l.standby = dbtest.StartReplicated(t)
	first, err := l.primary.CreateDatabase(t.Context(), "lossy")
	l.must(err)
	u, err := url.Parse(first)
	l.must(err)
	second, err := url.Parse(l.standby.URL)
	l.must(err)
	u.Host += "," + second.Host
	l.url = u.String() + "&target_session_attrs=read-write"
	return l
}

func (l *failingOver) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// cut cuts the standby off when it has everything.
func (l *failingOver) cut() {
	l.t.Helper()
	l.must(l.primary.CaughtUp(l.t.Context(), l.standby))
	l.must(l.standby.Crash())
}

// failOver loses the primary, and what has not reached the standby.
func (l *failingOver) failOver() {
	l.t.Helper()
	l.must(l.primary.Crash())
	l.must(l.standby.Restart())
	l.must(l.standby.Promote(l.t.Context()))
}

type eventID struct {
	Seq int
	ID  string
}

// afterReset reads a stream on until it ends, or until enough says so, and gives the ids of the events after the reset and
// where that says that the stream begins.
func afterReset(s *stream, enough func(message) bool) (begins string, ids []string) {
	s.t.Helper()
	reset := false
	for {
		m, open := s.next()
		switch {
		case !open:
			return begins, ids
		case m.kind == "reset":
			if reset {
				s.t.Error("it is reset twice")
			}
			reset, begins, ids = true, m.id, nil
		case m.kind == "" && m.data.Seq > 0 && reset:
			ids = append(ids, m.id)
		}
		if reset && enough(m) {
			return begins, ids
		}
	}
}

// What a standby had not received is lost when it takes over, and new events get the numbers of lost ones.
func TestFailover_StreamsResumeWithoutGap(t *testing.T) {
	t.Parallel()
	db := newFailingOver(t)
	p := serve(t, db.url)
	f := newFleet(t, 2, "v1")
	d := p.post(request(f, "v2", object{"type": "rolling", "bake": "10m"}))
	p.await(d.ID, "watches its first wave", func(d *deployment) bool { return d.Progress.Updated == 1 })
	path := "/deployments/" + d.ID + "/events"
	of, all := p.stream(t, path, ""), p.stream(t, "/events", "")
	db.cut()
	for range 30 { // more than the numbers that PostgreSQL skips after a failover
		for _, command := range []string{"pause", "resume"} {
			call(t, http.MethodPost, p.url+"/deployments/"+d.ID+"/"+command, nil, nil)
		}
	}
	lost := events(p, d.ID)
	for seen := 0; seen != lost[len(lost)-1].Seq; {
		m, _ := of.next()
		seen = m.data.Seq
	}
	db.failOver()
	p.awaitStatus("/readyz", http.StatusOK, 30*time.Second)
	awaitFact(t, "the deployment is promoted", func() bool {
		res, _ := call(t, http.MethodPost, p.url+"/deployments/"+d.ID+"/promote", object{"full": true}, nil)
		return res.StatusCode == http.StatusOK
	})
	if d := p.awaitEnd(d.ID); d.State != "completed" {
		t.Errorf("it ended %s: %s", d.State, d.Reason)
	}

	stored := events(p, d.ID)
	if begins, ids := afterReset(of, func(message) bool { return false }); begins != "0" || !slices.Equal(ids, eventIDs(stored)) {
		t.Errorf("the stream of the deployment begins again after %q with %v, and there are %v", begins, ids, eventIDs(stored))
	}
	last := stored[len(stored)-1].ID
	begins, ids := afterReset(all, func(m message) bool { return m.id == last })
	from := slices.Index(eventIDs(stored), begins) + 1
	if from == 0 || !slices.Equal(ids, eventIDs(stored[from:])) {
		t.Errorf("the stream of all begins again after %q with %v, and there are %v", begins, ids, eventIDs(stored))
	}
	if begins, _ := afterReset(p.stream(t, path, lost[len(lost)-1].ID), func(message) bool { return true }); begins != "0" {
		t.Errorf("a stream that resumes from a lost event begins after %q", begins)
	}
}

func events(p *process, id string) []eventID { return list[eventID](p, "/deployments/"+id+"/events") }

func eventIDs(events []eventID) []string {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}

// With a standby that has every commit, what was answered is there after a failover.
func TestFailover_SyncStandbyLosesNoAnsweredWrite(t *testing.T) {
	t.Parallel()
	db := newFailingOver(t)
	db.must(db.primary.WaitForStandby(t.Context()))
	p := serve(t, db.url)
	f := newFleet(t, 1, "v1")
	f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Fenced = true })
	db.must(db.standby.Crash())
	body := request(f, "v2", object{"type": "rolling"})
	ask := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/deployments", payload(t, body))
		db.must(err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "once")
		res, err := http.DefaultClient.Do(req)
		db.must(err)
		db.must(res.Body.Close())
		return res
	}
	for range 3 {
		if res := ask(); res.StatusCode != http.StatusServiceUnavailable && res.StatusCode != http.StatusConflict {
			t.Errorf("while the standby is away, a creation is answered %s", res.Status)
		}
	}
	db.must(db.standby.Restart())
	p.awaitStatus("/readyz", http.StatusOK, 30*time.Second)
	res := ask()
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("with the standby a creation is answered %s", res.Status)
	}
	db.must(db.primary.Crash())
	db.must(db.standby.Promote(t.Context()))
	db.must(db.standby.RunStatement(t.Context(), "ALTER SYSTEM RESET synchronous_standby_names"))
	db.must(db.standby.RunStatement(t.Context(), "SELECT pg_reload_conf()"))
	p.awaitStatus("/readyz", http.StatusOK, 30*time.Second)
	if res, data := call(t, http.MethodGet, p.url+res.Header.Get("Location"), nil, nil); res.StatusCode != http.StatusOK {
		t.Errorf("after the failover the deployment is answered %d: %s", res.StatusCode, data)
	}
}
