package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/e2e/chaos"
)

// caller asks replicas and writes down each request and its answer.
type caller struct {
	t        testing.TB
	replicas []*replica
	client   *http.Client
	// frozen has room for all replicas but one.
	frozen chan struct{}

	mu   sync.Mutex
	ops  []chaos.Op
	next int
	// silent are the replicas that did not answer, with when one request may try again, as behind any load balancer.
	silent map[int]time.Time
}

// shunned is for how long a replica that did not answer is asked nothing.
const shunned = time.Second

// askFor bounds a request: the longest poll, what a broken database may take, and a little.
const askFor = 4 * time.Second

func newCaller(t testing.TB, replicas []*replica) *caller {
	c := &caller{
		t: t, replicas: replicas, silent: map[int]time.Time{}, frozen: make(chan struct{}, len(replicas)-1),
		client: &http.Client{Timeout: askFor, Transport: withToken{&http.Transport{MaxIdleConnsPerHost: 64}}},
	}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// ask sends one request to one replica. Status 0 means that nothing came back.
func (c *caller) ask(service string, replica int, method, path, key string, body any, notes ...func(*chaos.Op)) (chaos.Op, []byte) {
	op := chaos.Op{
		Service: service, Replica: replica, Method: method, Path: path, Key: key, Sent: time.Now(),
		Waits: strings.Contains(path, "wait="),
	}
	for _, note := range notes {
		note(&op)
	}
	answer := c.send(&op, c.replicas[replica].url(), body)
	op.Answered = time.Now()
	var d struct {
		ID, State string
		Revision  int
		Deadline  time.Time `json:"deadline_at"`
	}
	if op.Status/100 == 2 && json.Unmarshal(answer, &d) == nil {
		op.ID, op.State, op.Revision, op.Deadline = d.ID, d.State, d.Revision, d.Deadline
	} else {
		op.Body = string(answer[:min(len(answer), 500)])
	}
	c.mu.Lock()
	c.ops = append(c.ops, op)
	if op.Status == 0 {
		c.silent[replica] = op.Answered.Add(shunned)
	} else {
		delete(c.silent, replica)
	}
	c.mu.Unlock()
	return op, answer
}

func (c *caller) send(op *chaos.Op, url string, body any) []byte {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			c.t.Error(err)
			return nil
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(context.Background(), op.Method, url+op.Path, payload)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	req.GetBody = nil // else net/http sends one with a key twice
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if op.Key != "" {
		req.Header.Set("Idempotency-Key", op.Key)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil
	}
	op.Status, op.RetryAfter = res.StatusCode, res.Header.Get("Retry-After")
	return data
}

// any is the next replica in turn, of those that answered when last asked.
func (c *caller) any() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for range c.replicas {
		c.next++
		replica := c.next % len(c.replicas)
		again, silent := c.silent[replica]
		if !silent {
			return replica
		}
		if now.After(again) {
			c.silent[replica] = now.Add(askFor) // this one request tries
			return replica
		}
	}
	return c.next % len(c.replicas)
}

// shun has a replica asked nothing for a while.
func (c *caller) shun(replica int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent[replica] = time.Now().Add(shunned)
}

// lieDown waits until a replica may be frozen without leaving no replica that answers; getUp says that it is frozen no more.
func (c *caller) lieDown() { c.frozen <- struct{}{} }

func (c *caller) getUp() { <-c.frozen }

// called is the replica that has that name now, nil when none has.
func (c *caller) called(name string) *replica {
	for _, r := range c.replicas {
		if _, id := r.now(); id == name {
			return r
		}
	}
	return nil
}

// settleFor is how long a question is repeated until it is answered for good.
const settleFor = 60 * time.Second

// insist asks one replica after the other until one answers for good: neither nothing nor 503.
func (c *caller) insist(service, method, path, key string, body any) (chaos.Op, []byte) {
	for deadline := time.Now().Add(settleFor); ; {
		op, answer := c.ask(service, c.any(), method, path, key, body)
		// While another request with the same key is at work, 409 is no answer for good.
		busy := op.Status == http.StatusConflict && strings.Contains(op.Body, "urn:rollcall:problem:in-progress")
		if op.Status != 0 && op.Status != http.StatusServiceUnavailable && !busy {
			return op, answer
		}
		if time.Now().After(deadline) {
			c.t.Errorf("%s %s is not answered within %s: %d %s", method, path, settleFor, op.Status, op.Body)
			return op, nil
		}
		<-time.After(50 * time.Millisecond)
	}
}

// repeat sends a request that was answered once more, with its key. Whatever has changed since, it is not carried out again.
func (c *caller) repeat(op chaos.Op, body any) {
	if op.Status/100 != 2 {
		return // a refusal leaves the key free
	}
	again := func(o *chaos.Op) { o.Again = true }
	for deadline := time.Now().Add(settleFor); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if o, _ := c.ask(op.Service, c.any(), op.Method, op.Path, op.Key, body, again); o.Status/100 == 2 {
			return
		}
	}
	c.t.Errorf("%s %s is not answered again within %s", op.Method, op.Path, settleFor)
}

// flood sends one POST 32 times at once to all replicas, and then until it is answered for good.
func (c *caller) flood(service, key string, body any) chaos.Op {
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() { c.ask(service, i%len(c.replicas), http.MethodPost, "/deployments", key, body) })
	}
	all.Wait()
	op, _ := c.insist(service, http.MethodPost, "/deployments", key, body)
	return op
}

// until polls a deployment until it is as wanted or has ended.
func (c *caller) until(service, id string, within time.Duration, is func(*deployment) bool) (deployment, bool) {
	revision := 0
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		_, answer := c.insist(service, http.MethodGet, fmt.Sprintf("/deployments/%s?wait=1s&after=%d", id, revision), "", nil)
		var d deployment
		if json.Unmarshal(answer, &d) != nil {
			continue
		}
		revision = d.Revision
		if is(&d) || d.terminal() {
			return d, true
		}
	}
	return deployment{}, false
}

// everything lists all pages of a list.
func everything[T any](c *caller, path string) []T {
	var all []T
	for cursor := ""; ; {
		_, answer := c.insist("", http.MethodGet, path+"?limit=200"+cursor, "", nil)
		var page struct {
			Items []T
			Next  *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			c.t.Errorf("%s: %v", path, err)
			return all
		}
		all = append(all, page.Items...)
		if page.Next == nil {
			return all
		}
		cursor = "&cursor=" + *page.Next
	}
}

// all is a copy of what was asked so far.
func (c *caller) all() []chaos.Op {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]chaos.Op(nil), c.ops...)
}
