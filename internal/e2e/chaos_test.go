package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/e2e/chaos"
	"rollcall/internal/fleet"
)

// How much happens in a round: three replicas, and on them many small deployments at a time, so that one fault meets many.
// The lease is short, so that much fits into little time; what is promised of it scales with it.
var full = chaos.Size{Replicas: 3, Services: 8, Deployments: 3, Steps: 6, DatabaseSteps: 4, Lease: 2 * time.Second}

// brief is a round for every run of all tests.
var brief = chaos.Size{Replicas: 2, Services: 3, Deployments: 1, Steps: 2, DatabaseSteps: 1, Lease: 2 * time.Second}

// TestWhateverDiesEveryPromiseIsKept breaks things as a seed says: one small round, or as many as fit into CHAOS_TIME.
// CHAOS_SEED and CHAOS_ROUND play again what another run has played.
func TestWhateverDiesEveryPromiseIsKept(t *testing.T) {
	seed := rand.Uint64()
	if given := os.Getenv("CHAOS_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	server, err := dbtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &campaign{server: server, seed: seed, successor: nextVersion(t), tally: newTally(seed)}
	until, all := os.Getenv("CHAOS_TIME"), os.Getenv("CHAOS_ROUND")
	switch {
	case all != "":
		round, err := strconv.Atoi(all)
		if err != nil {
			t.Fatal(err)
		}
		c.play(t, round, full)
	case until != "":
		c.playFor(t, until)
	default:
		c.play(t, 0, brief)
	}
}

// campaign is all the rounds of one seed.
type campaign struct {
	server    *dbtest.Server
	seed      uint64
	successor string
	tally     *tally
}

func (c *campaign) playFor(t *testing.T, duration string) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(d)
	late := end.Add(d / 2) // for kinds of fault whose moment has not come yet
	for round := 0; time.Now().Before(end) || len(c.tally.missing()) > 0 && time.Now().Before(late); round++ {
		c.play(t, round, full)
		c.tally.save(t)
	}
	t.Log(c.tally.table())
	t.Log(allRuns(t).table())
	for _, kind := range c.tally.missing() {
		t.Errorf("%s never happened", kind)
	}
}

func (c *campaign) play(t *testing.T, number int, size chaos.Size) {
	t.Run(fmt.Sprintf("seed-%d-round-%d", c.seed, number), func(t *testing.T) {
		r := newRound(t, c, number, size)
		r.play()
		h := r.history()
		found := chaos.Check(h)
		c.tally.add(r, h, len(found))
		report(t, h, found)
		t.Logf("%d deployments, %d calls, %d faults in %s", len(h.Deployments), len(h.Calls), len(h.Faults), time.Since(r.began).Round(time.Millisecond))
	})
}

// report shows each violation with what was seen around it.
func report(t *testing.T, h *chaos.History, found []chaos.Violation) {
	for i, v := range found {
		if i == 10 {
			t.Errorf("and %d more", len(found)-i)
			return
		}
		t.Errorf("CHAOS_SEED=%d CHAOS_ROUND=%d: %s: %s: %s\n%s", h.Seed, h.Round, v.Promise, v.Service, v.Text, chaos.Around(h, v))
	}
}

// round is one round: servers, services, and what is broken.
type round struct {
	t        *testing.T
	seed     uint64
	number   int
	size     chaos.Size
	schedule chaos.Schedule
	database *breakable
	replicas []*replica
	services []*service
	caller   *caller
	began    time.Time
	starved  time.Duration

	mu     sync.Mutex
	faults []chaos.Fault
	unmet  map[chaos.Kind]int // planned, and the moment for it never came
}

func newRound(t *testing.T, c *campaign, number int, size chaos.Size) *round {
	r := &round{
		t: t, seed: c.seed, number: number, size: size, schedule: chaos.Draw(c.seed, number, size), began: time.Now(),
		database: newBreakable(t, c.server, fmt.Sprintf("chaos_%d", number)), unmet: map[chaos.Kind]int{},
	}
	for i := range size.Replicas {
		r.replicas = append(r.replicas, newReplica(t, i, r.database.url, c.successor, "--lease="+size.Lease.String()))
	}
	r.caller = newCaller(t, r.replicas)
	for i := range size.Services {
		s := newService(t, fmt.Sprintf("s%d", i), r.caller)
		s.fleet.Watch(r.spring)
		s.noted = func(fault chaos.Fault) { r.note(fault, true) }
		r.services = append(r.services, s)
	}
	return r
}

// spring kills the replica that is to be killed at this moment of one of its calls.
func (r *round) spring(moment fleet.Moment, from string) {
	for _, replica := range r.replicas {
		replica.spring(moment, from)
	}
}

// play has the services live and everything break at the same time, until the last deployment has ended.
func (r *round) play() {
	var lives, faults sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	for i, s := range r.services {
		lives.Go(func() { s.live(r.schedule.Services[i]) })
	}
	for i, steps := range r.schedule.Replicas {
		faults.Go(func() { r.strikeReplica(over, r.replicas[i], steps) })
	}
	faults.Go(func() { r.strikeDatabase(over, r.schedule.Database) })
	faults.Go(func() { r.starved = starvation(over) })
	lives.Wait()
	end()
	faults.Wait()
}

// starvation is the longest that a goroutine of this process was kept from running.
func starvation(over context.Context) time.Duration {
	const every = 50 * time.Millisecond
	worst := time.Duration(0)
	for last := time.Now(); pauseUnless(over, every); last = time.Now() {
		worst = max(worst, time.Since(last)-every)
	}
	return worst
}

func (r *round) strikeReplica(over context.Context, replica *replica, steps []chaos.Step) {
	for _, step := range steps {
		if !pauseUnless(over, step.After) {
			return
		}
		r.note(replica.play(step, r.size.Lease))
	}
}

func (r *round) strikeDatabase(over context.Context, steps []chaos.Step) {
	for _, step := range steps {
		if !pauseUnless(over, step.After) {
			return
		}
		fault := chaos.Fault{Kind: step.Kind, Replica: -1, From: time.Now()}
		mend := r.database.strike(r.t, step.Kind)
		<-time.After(step.For)
		mend()
		fault.To = time.Now()
		r.note(fault, true)
	}
}

func pauseUnless(over context.Context, d time.Duration) bool {
	select {
	case <-over.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (r *round) note(fault chaos.Fault, happened bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if happened {
		r.faults = append(r.faults, fault)
	} else {
		r.unmet[fault.Kind]++
	}
}
