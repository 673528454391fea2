package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/api"
	"rollcall/internal/auth"
	"rollcall/internal/dbtest"
	"rollcall/internal/health"
	"rollcall/internal/slowtest"
	"rollcall/internal/store"
)

// requestsPerCheck times rapid's 100 checks are 20,000 requests.
const requestsPerCheck = 200

// assault is the API on a real database, with what detects the traces of a request.
type assault struct {
	handler http.Handler
	answers *contractTransport
	store   *store.Store
	dials   atomic.Int64
	// written is how many changes of rows were committed so far.
	written int64
	ids     []string
	// By status: what the requests were answered with.
	seen map[int]int
}

func newAssault(t *testing.T) *assault {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t), store.SealedBy(dbtest.NewKeyring(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	a := &assault{store: s, answers: newContractTransport(t, nil), seen: map[int]int{}}
	a.countWrites(t)
	prober := health.New(health.Config{Dial: func(context.Context, string, string) (net.Conn, error) {
		a.dials.Add(1)
		return nil, errors.New("no call leaves this test")
	}})
	a.handler, err = api.New(api.Config{
		Store: s, Who: everybody{auth.New(auth.Config{Store: s, Admin: operatorsToken})}, Log: slog.New(slog.DiscardHandler), CheckAddress: forbid, Prober: prober, GitOps: gitOps{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// countWrites makes every committed change of a row count.
func (a *assault) countWrites(t *testing.T) {
	t.Helper()
	const sql = `
		CREATE TABLE writes (n bigint NOT NULL);
		INSERT INTO writes VALUES (0);
		CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE writes SET n = n + 1; RETURN NULL; END $$;
		DO $$ DECLARE name text; BEGIN
			FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'writes' LOOP
				EXECUTE format('CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION count_write()', name);
			END LOOP;
		END $$`
	if _, err := a.store.Pool().Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func (a *assault) writes(t *rapid.T) (n int64) {
	if err := a.store.Pool().QueryRow(t.Context(), `SELECT n FROM writes`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// streamTime is how long a stream of events is watched: it does not end by itself.
const streamTime = 2 * time.Second

// send carries out one request and holds the answer against the promises: no fault, nothing that openapi.yaml does not say,
// and no trace of what was refused.
func (a *assault) send(t *rapid.T, w wild) {
	ctx, cancel := context.WithTimeout(t.Context(), streamTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, w.method, w.target, bytes.NewReader(w.body))
	if err != nil {
		return // no client can send that
	}
	request.Header = w.header
	dials, written := a.dials.Load(), a.written
	recorder := httptest.NewRecorder()
	a.handler.ServeHTTP(recorder, request)
	answer := recorder.Result()
	a.seen[answer.StatusCode]++
	said := recorder.Body.Bytes()
	if answer.StatusCode >= http.StatusInternalServerError {
		t.Fatalf("%d: %s\n%v", answer.StatusCode, said, w)
	}
	streamed := answer.Header.Get("Content-Type") == "text/event-stream" // its messages are compared where streams are watched
	if err := a.answers.compare(request, answer, said); err != nil && !streamed {
		t.Fatalf("%d breaks openapi.yaml: %v\n%s\n%v", answer.StatusCode, err, said, w)
	}
	a.written = a.writes(t)
	if answer.StatusCode >= http.StatusBadRequest && (a.dials.Load() != dials || a.written != written) {
		t.Fatalf("%d, and yet it left a trace: %d rows, %d calls\n%v", answer.StatusCode, a.written-written, a.dials.Load()-dials, w)
	}
	a.remember(answer)
}

// remember keeps the ids of the newest deployments, so that later requests meet things that are there.
func (a *assault) remember(answer *http.Response) {
	if id, ok := strings.CutPrefix(answer.Header.Get("Location"), "/deployments/"); ok {
		a.ids = append(a.ids, id)
		a.ids = a.ids[max(0, len(a.ids)-8):]
	}
}

func (w wild) String() string {
	return fmt.Sprintf("%s %s\n%v\n%.2000q", w.method, w.target, w.header, w.body)
}

func TestContract_RandomRequestsKeepIt(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	a := newAssault(t)
	wilds := newWilds(a)
	rapid.Check(t, func(rt *rapid.T) {
		dice := newDice(rt)
		for range requestsPerCheck {
			a.send(rt, wilds.draw(dice))
		}
	})
	t.Log("answers by status:", a.seen)
	for _, status := range []int{200, 201, 202, 204, 400, 404, 405, 409, 412, 415, 422} {
		if a.seen[status] == 0 {
			t.Errorf("no request was answered with %d: the requests are not wild enough", status)
		}
	}
}
