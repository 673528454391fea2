package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// impatient is a proxy before a target: after a while it answers 504 with a page of its own, and the request that it has
// passed on continues.
func impatient(t *testing.T, target *testtarget.Target, timeout time.Duration) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what cannot be read is not passed on whole, and is refused
		passed := make(chan *http.Response, 1)
		go func() {
			req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, target.URL()+r.URL.Path, bytes.NewReader(body))
			if err != nil {
				return
			}
			req.Header, req.GetBody = r.Header.Clone(), nil
			if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
				passed <- res
			}
		}()
		select {
		case res := <-passed:
			defer res.Body.Close()
			w.WriteHeader(res.StatusCode)
			_, _ = io.Copy(w, res.Body) // a caller that left needs no error
		case <-time.After(timeout):
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusGatewayTimeout)
			_, _ = io.WriteString(w, "<html><body><h1>504 Gateway Time-out</h1></body></html>")
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// proxied is a deployment of v2 to one target behind an impatient proxy, whose work takes a while.
func proxied(t *testing.T, f *testtarget.Fleet, work time.Duration, last testtarget.Behaviour) object {
	t.Helper()
	last.OnVersion, last.Delay = "v2", work
	f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { *b = last })
	body := request(f, "v2", object{"type": "rolling"})
	part[[]object](body, "targets")[0]["address"] = impatient(t, f.Targets[0], 200*time.Millisecond)
	part[object](body, "deploy")["timeout"] = "3s"
	return body
}

func TestProxied_504WhileWorkRunsIsOneCall(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(proxied(t, f, 1500*time.Millisecond, testtarget.Behaviour{})).ID)
	if d.State != "completed" || len(f.Calls()) != 1 || f.Targets[0].Version() != "v2" {
		t.Errorf("%s (%s) after %d calls, and %s runs", d.State, d.Reason, len(f.Calls()), f.Targets[0].Version())
	}
	assertTruth(p, d.ID, f)
}

func TestProxied_RollbackWaitsForWork(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	d := p.post(proxied(t, f, 1500*time.Millisecond, testtarget.Behaviour{}))
	p.await(d.ID, "in doubt", func(d *deployment) bool { return d.Progress.Unknown == 1 })
	if res, data := call(t, http.MethodPost, p.url+"/deployments/"+d.ID+"/rollback", nil, nil); res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, data)
	}
	if d = p.awaitEnd(d.ID); d.State != "rolled_back" || f.Targets[0].Version() != "v1" || f.Targets[0].MaxOpen() != 1 {
		t.Errorf("%s (%s), %s runs, %d calls at once", d.State, d.Reason, f.Targets[0].Version(), f.Targets[0].MaxOpen())
	}
	assertTruth(p, d.ID, f)
}

func TestProxied_FailedWorkIsResentAfterTimeout(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(proxied(t, f, 500*time.Millisecond, testtarget.Behaviour{Status: http.StatusInternalServerError})).ID)
	calls := f.Calls()
	if d.State != "rolled_back" || f.Targets[0].Version() != "v1" || len(calls) != 3 {
		t.Fatalf("%s (%s) after %d calls, and %s runs", d.State, d.Reason, len(calls), f.Targets[0].Version())
	}
	for i := range calls[1:] {
		if after := calls[i+1].Received.Sub(calls[i].Received); after < 3*time.Second {
			t.Errorf("call %d came %s after the one before it", i+2, after)
		}
	}
	assertTruth(p, d.ID, f)
}
