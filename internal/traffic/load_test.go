package traffic

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

const (
	fleetSize = 10
	// sample is how many requests are counted at each position; a server's share may be off by tolerance of them all.
	sample    = 2000
	tolerance = 0.01
	// maxRequests ends the load whatever happens.
	maxRequests = 200_000
	// moving is the position while traffic is being moved: its requests must succeed, but go either way.
	moving = -1
)

// load is a constant stream of real requests through HAProxy. It counts who served them, by the position that held
// from before a request was sent until after it was answered.
type load struct {
	url      string
	position atomic.Int64
	total    atomic.Int64

	mu     sync.Mutex
	served map[int64]*[fleetSize]int
	sum    map[int64]int
	failed []string
}

// start sends requests, a few at a time, until the returned function is called; that gives what failed.
func (l *load) start(t *testing.T) (stop func() []string) {
	t.Helper()
	l.served, l.sum = map[int64]*[fleetSize]int{}, map[int64]int{}
	l.position.Store(moving)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil && l.total.Add(1) <= maxRequests {
				before := l.position.Load()
				by, err := l.request(client)
				l.count(before, by, err)
			}
		})
	}
	return func() []string {
		cancel()
		clients.Wait()
		return l.failed
	}
}

// request has no deadline but HAProxy's, and is never cut short: each one that was sent counts.
func (l *load) request(client *http.Client) (by int, err error) {
	resp, err := client.Get(l.url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("HTTP %d: %s", resp.StatusCode, body)
	}
	return strconv.Atoi(string(body))
}

func (l *load) count(before int64, by int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failed = append(l.failed, err.Error())
	case before == l.position.Load() && before != moving:
		if l.served[before] == nil {
			l.served[before] = new([fleetSize]int)
		}
		l.served[before][by]++
		l.sum[before]++
	}
}

// at counts a sample of requests at one position and gives each server's part of it.
func (l *load) at(t *testing.T, position int64) [fleetSize]float64 {
	t.Helper()
	l.position.Store(position)
	eventually(t, "enough requests", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.sum[position] >= sample
	})
	l.position.Store(moving)
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts [fleetSize]float64
	for i, n := range l.served[position] {
		parts[i] = float64(n) / float64(l.sum[position])
	}
	return parts
}

// fleet is ten real servers behind a real HAProxy: five on the new side, five on the old.
func fleet(t *testing.T) (p *proxy, targets []rollout.Target) {
	t.Helper()
	backend := "backend checkout\n  balance roundrobin\n"
	for i := range fleetSize {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strconv.Itoa(i)) })
		backend += fmt.Sprintf("  server web-%d %s weight 100\n", i, strings.TrimPrefix(address, "http://"))
		targets = append(targets, rollout.Target{ID: fmt.Sprintf("web-%d", i)})
	}
	return startProxy(t, "admin", backend), targets
}

func fleetSetting(targets []rollout.Target, percent int) routing.TrafficSplit {
	s := routing.TrafficSplit{NewWeight: percent, OldWeight: 100 - percent}
	for i := range targets {
		weight := percent
		if i >= fleetSize/2 {
			weight = 100 - percent
		}
		s.Backends = append(s.Backends, routing.Backend{Target: targets[i].ID, Weight: weight})
	}
	return s
}

// A canary in three stages, then a switch back and forth as blue-green makes it.
func TestHAProxy_MovesUnderLoadFailNoRequest(t *testing.T) {
	t.Parallel()
	p, targets := fleet(t)
	l := &load{url: "http://" + p.front}
	stop := l.start(t)
	for i, percent := range []int{0, 10, 50, 100, 0, 100} {
		s := fleetSetting(targets, percent)
		want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), targets, callFor(s)), rollout.ResultDone, "servers set")
		for server, part := range l.at(t, int64(i)) {
			wanted := float64(s.Backends[server].Weight) / 100 / (fleetSize / 2)
			if math.Abs(part-wanted) > tolerance || wanted == 0 && part > 0 {
				t.Errorf("at %d %%: server %d served %.4f of all requests, want %.4f", percent, server, part, wanted)
			}
		}
	}
	if failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, first: %s", len(failed), l.total.Load(), failed[0])
	}
	if strings.Contains(p.printed(), "no server available") {
		t.Error("for a moment all weights were zero")
	}
	t.Logf("%d requests", l.total.Load())
}
