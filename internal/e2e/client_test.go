package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"rollcall/internal/testtarget"
)

type object = map[string]any

// deployment is what the tests read of a deployment.
type deployment struct {
	ID       string
	State    string
	Reason   string
	Revision int
	Owner    *string
	Epoch    int
	Progress struct {
		Updated  int `json:"targets_updated"`
		InFlight int `json:"targets_in_flight"`
		Unknown  int `json:"targets_unknown"`
		Wave     int
		Weight   int `json:"traffic_weight"`
	}
	Result *struct {
		Success    bool
		Updated    int     `json:"targets_updated"`
		Failed     int     `json:"targets_failed"`
		RolledBack int     `json:"targets_rolled_back"`
		DurationMS float64 `json:"duration_ms"`
		Errors     []struct{ Target, Message string }
		Metadata   struct {
			StoppedAtStage *int    `json:"stopped_at_stage"`
			ActiveSlot     *string `json:"active_slot"`
		}
	}
}

type targetResult struct {
	ID              string
	State           string
	Version         *string
	PreviousVersion *string `json:"previous_version"`
	Attempts        int
	Fence           int
	Health          string
	Error           string
}

type event struct {
	Seq     int
	Type    string
	Target  *string
	Replica *string
	Call    *struct {
		WebhookID string `json:"webhook_id"`
		Attempt   int
		Fence     int64
	}
}

func (d *deployment) terminal() bool {
	switch d.State {
	case "completed", "failed", "rolled_back", "aborted", "superseded":
		return true
	default:
		return false
	}
}

// request is a rolling deployment over the fleet, with a check that reports versions.
func request(f *testtarget.Fleet, version string, strategy object) object {
	var targets []object
	for _, t := range f.Targets {
		targets = append(targets, object{"id": t.ID, "address": t.URL()})
	}
	return object{
		"service": "checkout", "environment": "production", "version": version, "strategy": strategy, "targets": targets,
		"deploy":           object{"timeout": "5s", "retries": 1, "backoff": "50ms"},
		"healthy_deadline": "5s",
		"health_checks":    []object{{"type": "http", "path": "/health", "version_pointer": "/version", "interval": "50ms"}},
	}
}

// part is a field of a request, of the type that it was made with.
func part[T any](body object, name string) T {
	field, ok := body[name].(T)
	if !ok {
		panic(fmt.Sprintf("%s is %v", name, body[name]))
	}
	return field
}

// payload is a body as JSON; nothing for nil.
func payload(t testing.TB, body any) io.Reader {
	t.Helper()
	if body == nil {
		return nil
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(data)
}

// send answers with the status, and reads the body into into, unless that is nil.
func send(t testing.TB, req *http.Request, into any) int {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatalf("%s %s answered %d %s: %v", req.Method, req.URL, res.StatusCode, data, err)
		}
	}
	return res.StatusCode
}

func call(t testing.TB, method, url string, body any, into any) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, payload(t, body))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatalf("%s %s answered %d %s: %v", method, url, res.StatusCode, data, err)
		}
	}
	return res, data
}

func (p *process) post(body object) deployment {
	p.t.Helper()
	var d deployment
	res, data := call(p.t, http.MethodPost, p.url+"/deployments", body, &d)
	if res.StatusCode != http.StatusAccepted {
		p.t.Fatalf("POST answered %d %s", res.StatusCode, data)
	}
	return d
}

// await waits for a deployment to be as it should, through the API's own long poll.
func (p *process) await(id string, what string, is func(*deployment) bool) deployment {
	p.t.Helper()
	var d deployment
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		res, data := call(p.t, http.MethodGet, fmt.Sprintf("%s/deployments/%s?wait=2s&after=%d", p.url, id, d.Revision), nil, nil)
		if res.StatusCode != http.StatusOK {
			continue
		}
		d = deployment{}
		if err := json.Unmarshal(data, &d); err != nil {
			p.t.Fatal(err)
		}
		if is(&d) {
			return d
		}
	}
	p.t.Fatalf("never %s: %s, %s", what, d.State, d.Reason)
	return d
}

func (p *process) awaitEnd(id string) deployment {
	p.t.Helper()
	return p.await(id, "ended", (*deployment).terminal)
}

func list[T any](p *process, path string) []T {
	p.t.Helper()
	var all []T
	cursor := ""
	for {
		var page struct {
			Items []T
			Next  *string `json:"next_cursor"`
		}
		call(p.t, http.MethodGet, p.url+path+"?limit=200"+cursor, nil, &page)
		all = append(all, page.Items...)
		if page.Next == nil {
			return all
		}
		cursor = "&cursor=" + *page.Next
	}
}

func newFleet(t testing.TB, n int, version string) *testtarget.Fleet {
	t.Helper()
	f, err := testtarget.New(n, version)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}
