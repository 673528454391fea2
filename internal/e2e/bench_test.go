package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"rollcall/internal/testtarget"
)

// BenchmarkRollout_AgainstPlainLoop compares a deployment through the server, on its own durable Postgres, with a loop that
// makes the same calls with the same concurrency and remembers nothing. The figures are ratios of the two in one run: of the
// whole, from the POST to the answer that it has ended, and of the deployment's own duration, which the loop has alone.
func BenchmarkRollout_AgainstPlainLoop(b *testing.B) {
	for _, c := range []struct {
		targets, batch int
		answer         time.Duration
	}{
		{1000, 100, 0},
		{200, 20, 20 * time.Millisecond},
		{10_000, 100, 0},
	} {
		b.Run(fmt.Sprintf("targets=%d/batch=%d/answer=%s", c.targets, c.batch, c.answer), func(b *testing.B) {
			f, err := testtarget.New(c.targets, "v0")
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			for _, t := range f.Targets {
				t.SetBehaviour(func(be *testtarget.Behaviour) { be.Delay = c.answer })
			}
			p := serve(b, "", "--state-dir="+privateFolder(b))
			var loop, whole, own time.Duration
			for i := 0; b.Loop(); i++ {
				loop += bareLoop(b, f, c.batch, fmt.Sprintf("loop-%d", i))
				w, o := p.timed(f, c.batch, fmt.Sprintf("v-%d", i))
				whole, own = whole+w, own+o
			}
			b.ReportMetric(whole.Seconds()/loop.Seconds(), "×loop")
			b.ReportMetric(own.Seconds()/loop.Seconds(), "own×loop")
			b.ReportMetric(whole.Seconds()/float64(b.N), "s/deployment")
			b.ReportMetric(loop.Seconds()/float64(b.N), "s/loop")
		})
	}
}

// timed is how long a deployment takes from its POST to the answer that it has ended, and by its own account. Nothing watches
// it before its last target was called, as nothing watches the loop.
func (p *process) timed(f *testtarget.Fleet, batch int, version string) (whole, own time.Duration) {
	body := request(f, version, object{"type": "rolling", "batch_size": batch})
	body["health_checks"] = []object{{"type": "http", "path": "/health", "healthy_threshold": 1}}
	called := f.CallCount()
	began := time.Now()
	id := p.post(body).ID
	for f.CallCount() < called+len(f.Targets) {
		time.Sleep(time.Millisecond) // the figure is not finer than that
	}
	d := p.awaitEnd(id)
	if d.State != "completed" {
		p.t.Fatalf("ended %s: %s", d.State, d.Reason)
	}
	return time.Since(began), time.Duration(d.Result.DurationMS * float64(time.Millisecond))
}

// bareLoop calls each target's webhook and then its health, a batch at a time.
func bareLoop(b *testing.B, f *testtarget.Fleet, batch int, version string) time.Duration {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	defer client.CloseIdleConnections()
	began := time.Now()
	for from := 0; from < len(f.Targets); from += batch {
		var wave sync.WaitGroup
		for _, t := range f.Targets[from:min(from+batch, len(f.Targets))] {
			wave.Go(func() {
				body, err := json.Marshal(object{"action": "deploy", "version": version, "target": object{"id": t.ID}})
				if err != nil {
					b.Error(err)
				}
				bareCall(b, client, http.MethodPost, t.URL()+"/deploy", body)
				bareCall(b, client, http.MethodGet, t.URL()+"/health", nil)
			})
		}
		wave.Wait()
	}
	return time.Since(began)
}

func bareCall(b *testing.B, client *http.Client, method, url string, body []byte) {
	req, err := http.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	res, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err != nil || res.StatusCode >= http.StatusMultipleChoices {
		b.Errorf("%s %s answered %d, %v", method, url, res.StatusCode, err)
	}
	if err := res.Body.Close(); err != nil {
		b.Error(err)
	}
}
