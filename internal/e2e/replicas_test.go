package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// Nothing may depend on when the process dies: most times it dies soon, sometimes it comes as far as the next wave, or to
// the point where the unhealthy target is given up and all are rolled back.
func TestKill_TwentyRandomKillsEndTheSame(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	f := onDifferentVersions(t)
	f.Targets[4].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
	database, state := dbtest.New(t), "--state-dir="+t.TempDir()
	p := serve(t, database, state)
	body := request(f, "v2", object{"type": "rolling", "batch_size": 2})
	body["healthy_deadline"] = "2s"
	d := p.post(body)
	for kill := range 20 {
		life := time.Duration(rand.IntN(300)) * time.Millisecond
		if kill%5 == 4 {
			life *= 10
		}
		<-time.After(life)
		p.kill()
		p = serve(t, database, state)
	}
	assertRolledBack(p, d.ID, f)
}

func TestFreeze_BeyondLeaseDoesNoHarm(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	f := slowly(t, 12)
	database := dbtest.New(t)
	first, second := serve(t, database), serve(t, database)
	d := first.post(request(f, "v2", object{"type": "rolling"}))
	first.await(d.ID, "under way", func(d *deployment) bool { return d.Progress.Updated >= 2 })
	owner, other := first, second
	if second.owns(d.ID) {
		owner, other = second, first
	}
	owner.signal(syscall.SIGSTOP)
	frozen := time.Now()
	other.await(d.ID, "taken over", func(d *deployment) bool { return d.Epoch > 1 })
	if took := time.Since(frozen); took > 8*time.Second {
		t.Errorf("the takeover took %s", took)
	}
	if d := other.awaitEnd(d.ID); d.State != "completed" {
		t.Errorf("ended %s: %s", d.State, d.Reason)
	}
	assertTruth(other, d.ID, f)
	<-time.After(time.Until(frozen.Add(10 * time.Second))) // the promise is about a time
	owner.signal(syscall.SIGCONT)
	next := owner.post(request(f, "v3", object{"type": "rolling", "batch_size": 12}))
	if d := owner.awaitEnd(next.ID); d.State != "completed" || d.Result.Updated != 12 {
		t.Errorf("the next deployment ended %s: %s", d.State, d.Reason)
	}
	assertTruth(owner, next.ID, f)
}

// owns reports whether the server is the owner of the deployment.
func (p *process) owns(id string) bool {
	var d deployment
	call(p.t, http.MethodGet, p.url+"/deployments/"+id, nil, &d)
	p.mu.Lock()
	defer p.mu.Unlock()
	return d.Owner != nil && strings.Contains(strings.Join(p.lines, " "), *d.Owner)
}

func TestKey_TwoReplicasMakeOneDeployment(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	database := dbtest.New(t)
	replicas := []*process{serve(t, database), serve(t, database)}
	body, err := json.Marshal(request(f, "v2", object{"type": "rolling"}))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	ids, statuses := map[string]int{}, map[int]int{}
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			status, id := postWithKey(t, replicas[i%2].url, body)
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
			ids[id]++
		})
	}
	all.Wait()
	if len(ids) != 1 || statuses[http.StatusAccepted] != 32 {
		t.Errorf("32 requests were answered %v with %d deployments", statuses, len(ids))
	}
	for id := range ids {
		if d := replicas[0].awaitEnd(id); d.State != "completed" {
			t.Errorf("ended %s: %s", d.State, d.Reason)
		}
	}
	if n := len(list[deployment](replicas[1], "/deployments")); n != 1 || len(f.Calls()) != 2 {
		t.Errorf("%d deployments made %d calls", n, len(f.Calls()))
	}
}

func postWithKey(t *testing.T, url string, body []byte) (status int, id string) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/deployments", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "one")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	var d deployment
	if err != nil || json.Unmarshal(data, &d) != nil {
		t.Errorf("%d %s", res.StatusCode, data)
	}
	return res.StatusCode, d.ID
}

func TestQueue_OnlyNewestWaitingRuns(t *testing.T) {
	t.Parallel()
	f := slowly(t, 4)
	database := dbtest.New(t)
	replicas := []*process{serve(t, database), serve(t, database)}
	p := replicas[0]
	first := p.post(request(f, "v2", object{"type": "rolling"}))
	p.await(first.ID, "under way", func(d *deployment) bool { return d.State == "in_progress" })
	var waiting []string
	for i := range 5 {
		waiting = append(waiting, replicas[i%2].post(request(f, "v3", object{"type": "rolling", "batch_size": 4})).ID)
	}
	for _, id := range waiting[:4] {
		if d := p.awaitEnd(id); d.State != "superseded" {
			t.Errorf("an older one that waited ended %s: %s", d.State, d.Reason)
		}
	}
	if d := p.awaitEnd(first.ID); d.State != "completed" || d.Result.Updated != 4 {
		t.Errorf("the active one ended %s: %s", d.State, d.Reason)
	}
	ended := time.Now()
	p.await(waiting[4], "begun", func(d *deployment) bool { return d.State != "pending" })
	if took := time.Since(ended); took > time.Second+slack {
		t.Errorf("the one that waited began %s after its turn came", took)
	}
	if d := p.awaitEnd(waiting[4]); d.State != "completed" || d.Result.Updated != 4 {
		t.Errorf("the newest ended %s: %s", d.State, d.Reason)
	}
	if n := len(f.Calls()); n != 8 {
		t.Errorf("%d calls were made for two deployments of 4 targets", n)
	}
}
