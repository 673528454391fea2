package e2e

import (
	"cmp"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// scenario is a rollout with all that a client does in it.
type scenario struct {
	name    string
	targets int
	router  string
	terse   bool // the router reports only the shares
	// play drives it to its end and says what came of it.
	play func(r *swept) outcome
	// wave is how many targets may be called at once.
	wave int
	ends string
}

func scenarios() []scenario {
	deploy := func(strategy object, slots bool) func(*swept) outcome {
		return func(r *swept) outcome {
			body := r.request("v2", strategy)
			if slots {
				body = inSlots(body)
			}
			return r.end(r.post("/deployments", "first", body).ID)
		}
	}
	rolling := object{"type": "rolling", "batch_size": 2}
	return []scenario{
		{"rolling", 4, byCount, true, deploy(rolling, false), 2, "completed"},
		{"canary", 4, twoSides, false, deploy(object{"type": "canary", "stages": []int{25, 100}, "stage_duration": "30ms"}, false), 3, "completed"},
		{"blue-green", 4, twoSides, true, deploy(blueGreen(nil), true), 2, "completed"},
		{"turned-round", 4, byCount, false, func(r *swept) outcome {
			r.fleet.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
			return deploy(rolling, false)(r)
		}, 2, "rolled_back"},
		{"rollback", 4, byCount, false, func(r *swept) outcome {
			first := r.post("/deployments", "first", r.request("v2", rolling)).ID
			r.await(first, "ended", (*deployment).terminal)
			return r.end(r.post("/deployments/"+first+"/rollback", "", nil).ID)
		}, 2, "rolled_back"},
	}
}

// TestSweep_KillAroundEveryEffectEndsTheSame plays each scenario once, notes all that can be
// seen of it from outside, and plays it again with a kill at each such moment. An ordinary run takes a sample, which
// ROLLCALL_SWEEP_SEED changes; ROLLCALL_SWEEP=all takes them all.
func TestSweep_KillAroundEveryEffectEndsTheSame(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			without := newSwept(t, s, moment{})
			want := s.play(without)
			if want.State != s.ends {
				t.Fatalf("without a kill it ended %+v", want)
			}
			all := without.moments()
			chosen := sampled(t, s.name, all)
			var came atomic.Int32
			t.Cleanup(func() {
				if t.Logf("%d of %d moments, %d of them came", len(chosen), len(all), came.Load()); int(came.Load())*2 < len(chosen) {
					t.Errorf("most moments never came")
				}
			})
			for _, at := range chosen {
				t.Run(at.String(), func(t *testing.T) {
					t.Parallel()
					if s.killed(t, at, want) {
						came.Add(1)
					}
				})
			}
		})
	}
}

// killed plays the scenario with a kill, and reports whether the moment came.
func (s scenario) killed(t *testing.T, at moment, want outcome) bool {
	r := newSwept(t, s, at)
	if got := s.play(r); got != want {
		t.Errorf("it ended\n%+v, and without a kill\n%+v", got, want)
	}
	if most := r.fleet.MaxOpen(); most > s.wave {
		t.Errorf("%d targets were called at once", most)
	}
	return !r.late
}

// moments lists all that a run without a kill has shown.
func (r *swept) moments() []moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	stages := []struct {
		what string
		at   []string
	}{
		{aCall, []string{arrived, done, answered}},
		{aWrite, []string{arrived, done, answered}},
		{anEvent, []string{readable}},
		{aRequest, []string{sent, answered}},
	}
	var all []moment
	for _, stage := range stages {
		for n := range r.seen[stage.what] {
			for _, at := range stage.at {
				all = append(all, moment{stage.what, n + 1, at})
			}
		}
	}
	return all
}

// sampleSize is how many moments of each scenario an ordinary run takes.
const sampleSize = 6

func sampled(t *testing.T, name string, all []moment) []moment {
	t.Helper()
	if os.Getenv("ROLLCALL_SWEEP") == "all" {
		return all
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("ROLLCALL_SWEEP_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatalf("ROLLCALL_SWEEP_SEED: %v", err)
	}
	of := fnv.New64a()
	_, _ = of.Write([]byte(name)) // a hash takes everything
	random := rand.New(rand.NewPCG(seed, of.Sum64()))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(sampleSize, len(all))]
}
