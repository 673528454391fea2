package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/e2e/chaos"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// How much happens in a round: three replicas, and on them many small deployments at a time, so that one fault meets many.
// The lease is short, so that much fits into little time; what is promised of it scales with it.
var full = chaos.Size{
	Replicas: 3, Services: 30, Deployments: 30, Steps: 90, DatabaseSteps: 60, RouterSteps: 12, Lease: 2 * time.Second, For: 2 * time.Minute,
}

// steady is a round with the lease that servers have by default, in which there is time to see what one fault leads to.
var steady = chaos.Size{
	Replicas: 3, Services: 20, Deployments: 20, Steps: 20, DatabaseSteps: 10, RouterSteps: 6, Lease: defaultLease,
	For: time.Minute, Pause: 8 * time.Second,
}

// restInterval is how often a router is read between deployments: often enough for that to meet the next one.
const restInterval = time.Second

const defaultLease = 6 * time.Second

// steadyEvery says how often a round is a steady one.
const steadyEvery = 10

func sizeOf(round int) chaos.Size {
	if round%steadyEvery == 1 {
		return steady
	}
	return full
}

// brief is a round for every run of all tests.
var brief = chaos.Size{
	Replicas: 2, Services: 3, Deployments: 1, Steps: 2, DatabaseSteps: 1, RouterSteps: 1, Lease: 2 * time.Second,
	For: 15 * time.Second,
}

// TestChaos_EveryGuaranteeHolds breaks things as a seed says: one small round, or as many as fit into CHAOS_TIME.
// CHAOS_SEED and CHAOS_ROUND play again what another run has played.
func TestChaos_EveryGuaranteeHolds(t *testing.T) {
	slowtest.Mark(t)
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
	c := &campaign{server: server, seed: seed, successors: nextVersions(t, versionsAhead()), sum: chaos.NewSum(seed), began: time.Now()}
	until, all := os.Getenv("CHAOS_TIME"), os.Getenv("CHAOS_ROUND")
	switch {
	case all != "":
		round, err := strconv.Atoi(all)
		if err != nil {
			t.Fatal(err)
		}
		c.play(t, round, sizeOf(round))
		t.Logf("\n%s", c.sum.FormatTable())
	case until != "":
		c.playFor(t, until)
	default:
		c.play(t, 0, brief)
	}
}

// campaign is all the rounds of one seed.
type campaign struct {
	server     *dbtest.Server
	seed       uint64
	successors []string // programs of later versions
	sum        *chaos.Sum
	began      time.Time
}

func (c *campaign) playFor(t *testing.T, duration string) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(d)
	late := end.Add(d / 2) // for kinds of fault whose moment has not come yet
	for round := 0; time.Now().Before(end) || len(c.sum.MissingKinds()) > 0 && time.Now().Before(late); round++ {
		c.play(t, round, sizeOf(round))
		c.save(t)
		if failFast := flag.Lookup("test.failfast"); t.Failed() && failFast.Value.String() == "true" {
			return
		}
	}
	t.Logf("seed %d\n%s", c.seed, c.sum.FormatTable())
	for _, kind := range c.sum.MissingKinds() {
		t.Errorf("%s never happened", kind)
	}
}

// sums is where each run leaves its sum, for `make chaos-sum`.
var sums = filepath.Join("..", "..", "bin", "chaos")

// save writes the sum down after each round, so that what was done counts however the run ends.
func (c *campaign) save(t *testing.T) {
	if len(overlaid(t)) > 0 {
		return // a product that was broken on purpose is not what is summed up
	}
	if err := c.sum.Save(filepath.Join(sums, fmt.Sprintf("%d-%d.json", c.seed, c.began.Unix()))); err != nil {
		t.Error(err)
	}
}

func (c *campaign) play(t *testing.T, number int, size chaos.Size) {
	kept := false
	good := t.Run(fmt.Sprintf("seed-%d-round-%d", c.seed, number), func(t *testing.T) {
		r := newRound(t, c, number, size)
		r.play()
		h := r.history()
		found := chaos.CheckHistory(h)
		lasted := time.Since(r.began)
		c.sum.AddRound(h, found, r.unmet, lasted)
		kept = len(found) == 0
		report(t, h, found)
		if t.Failed() {
			keepHistory(t, h)
		}
		t.Logf("%d deployments, %d calls, %d faults in %s", len(h.Deployments), len(h.Calls), len(h.Faults), lasted.Round(time.Millisecond))
	})
	if !good && kept {
		c.sum.Failed++
	}
}

// report shows each violation with what was seen around it.
func report(t *testing.T, h *chaos.History, found []chaos.Violation) {
	for i, v := range found {
		if i == 10 {
			t.Errorf("and %d more", len(found)-i)
			return
		}
		t.Errorf("CHAOS_SEED=%d CHAOS_ROUND=%d: %s: %s: %s\n%s", h.Seed, h.Round, v.Promise, v.Service, v.Text, chaos.FormatExcerpt(h, v))
	}
}

// keepHistory writes all that was seen of a round down, for later inspection.
func keepHistory(t *testing.T, h *chaos.History) {
	data, err := json.MarshalIndent(h, "", " ")
	if err == nil {
		err = os.MkdirAll(sums, 0o755)
	}
	path := filepath.Join(sums, fmt.Sprintf("%d-%d.history", h.Seed, h.Round))
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
	t.Logf("all that was seen is in %s", path)
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
	bed      sync.Mutex

	mu     sync.Mutex
	faults []chaos.Fault
	unmet  map[chaos.Kind]int // planned, and the moment for it never came
}

func newRound(t *testing.T, c *campaign, number int, size chaos.Size) *round {
	r := &round{
		t: t, seed: c.seed, number: number, size: size, schedule: chaos.GenerateSchedule(c.seed, number, size), began: time.Now(),
		database: newBreakable(t, c.server, fmt.Sprintf("chaos_%d", number)), unmet: map[chaos.Kind]int{},
	}
	flags := []string{"--router-interval=" + restInterval.String()}
	if size.Lease != defaultLease {
		flags = append(flags, "--lease="+size.Lease.String())
	}
	next := &upgrade{t: t, database: r.database.url, programs: c.successors}
	for i := range size.Replicas {
		r.replicas = append(r.replicas, newReplica(t, i, r.database.url, next, flags...))
	}
	r.caller = newCaller(t, r.replicas)
	for i := range size.Services {
		s := newService(t, i, r.caller, &r.bed)
		s.fleet.Watch(r.spring)
		s.noted = r.note
		r.services = append(r.services, s)
	}
	return r
}

// spring kills the replica that is to be killed at this moment of one of its calls.
func (r *round) spring(moment testtarget.Moment, from string) {
	for _, replica := range r.replicas {
		replica.spring(moment, from)
	}
}

// play has the services live and everything break at the same time, for as long as the round is, and until the last
// deployment has ended.
func (r *round) play() {
	var lives, faults sync.WaitGroup
	over, end := context.WithTimeout(context.Background(), r.size.For)
	defer end()
	for i, s := range r.services {
		lives.Go(func() { s.live(over, r.schedule.Services[i]) })
		faults.Go(func() { s.restartRouter(over, r.schedule.Routers[i]) })
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
		if step.Kind == chaos.Freeze {
			r.caller.lieDown()
		}
		r.note(replica.play(step, r.size.Lease))
		if step.Kind == chaos.Freeze {
			r.caller.getUp()
		}
	}
}

func (r *round) strikeDatabase(over context.Context, steps []chaos.Step) {
	for _, step := range steps {
		if !pauseUnless(over, step.After) {
			return
		}
		fault := chaos.Fault{Kind: step.Kind, Replica: -1, From: time.Now()}
		repair := r.database.strike(r.t, step.Kind)
		end := time.After(step.For)
		failed := r.database.fails(step.For)
		<-end
		repair()
		fault.To = time.Now()
		r.note(fault, failed)
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

// note writes down that something was broken, and whether it was what it was meant to be. A kill whose moment did not come
// broke nothing.
func (r *round) note(fault chaos.Fault, happened bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fault.Missed = !happened; fault.Missed {
		r.unmet[fault.Kind]++
	}
	if happened || !fault.Kind.Kills() || !fault.Ended.IsZero() {
		r.faults = append(r.faults, fault)
	}
}
