package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/e2e/chaos"
)

// tally sums up over rounds; its file can be summed up over runs.
type tally struct {
	path        string
	Seed        uint64
	Rounds      int
	Kills       int
	Deployments int
	Calls       int
	Writes      int
	Requests    int
	Violations  int
	Faults      map[chaos.Kind]int
	Unmet       map[chaos.Kind]int
	// Took are the times that were measured, in milliseconds.
	Took map[string][]int64
	// Starved is the longest that the test itself was kept from running.
	Starved time.Duration
}

func newTally(seed uint64) *tally {
	name := fmt.Sprintf("%d-%d.json", seed, time.Now().Unix())
	return &tally{
		path: filepath.Join("..", "..", "bin", "chaos", name), Seed: seed,
		Faults: map[chaos.Kind]int{}, Unmet: map[chaos.Kind]int{}, Took: map[string][]int64{},
	}
}

func (y *tally) add(r *round, h *chaos.History, violations int) {
	y.Rounds++
	y.Violations += violations
	y.Deployments += len(h.Deployments)
	y.Calls += len(h.Calls)
	y.Writes += len(h.Writes)
	y.Requests += len(h.Ops)
	for _, fault := range r.faults {
		y.Faults[fault.Kind]++
		if fault.Kind.Kills() {
			y.Kills++
		}
	}
	for _, s := range r.services {
		for kind, n := range s.counted() {
			y.Faults[kind] += n
		}
	}
	for _, m := range chaos.Measures(h) {
		for _, took := range m.Took {
			y.Took[m.Name] = append(y.Took[m.Name], took.Milliseconds())
		}
	}
	y.Starved = max(y.Starved, r.starved)
	for kind, n := range r.unmet {
		y.Unmet[kind] += n
	}
}

func (y *tally) missing() []chaos.Kind {
	return slices.DeleteFunc(chaos.AllKinds(), func(k chaos.Kind) bool { return y.Faults[k] > 0 })
}

func (y *tally) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %d rounds, %d deployments, %d calls, %d writes to routers, %d requests\n",
		y.title(), y.Rounds, y.Deployments, y.Calls, y.Writes, y.Requests)
	fmt.Fprintf(&b, "%-40s %6d\n", "kills", y.Kills)
	for _, kind := range chaos.AllKinds() {
		fmt.Fprintf(&b, "  %-38s %6d\n", kind, y.Faults[kind])
	}
	fmt.Fprintf(&b, "%-40s %6d\n", "violations", y.Violations)
	for _, name := range slices.Sorted(maps.Keys(y.Took)) {
		took := slices.Sorted(slices.Values(y.Took[name]))
		fmt.Fprintf(&b, "%-40s %6d times, median %d ms, at most %d ms\n", name, len(took), took[len(took)/2], took[len(took)-1])
	}
	fmt.Fprintf(&b, "%-40s %6d ms\n", "the test itself stood still for", y.Starved.Milliseconds())
	return b.String()
}

func (y *tally) title() string {
	if y.Seed == 0 {
		return "all runs in bin/chaos"
	}
	return fmt.Sprintf("seed %d", y.Seed)
}

// allRuns sums up what lies in the folder of all runs. Delete the files to begin anew.
func allRuns(t *testing.T) *tally {
	sum := newTally(0)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(sum.path), "*.json"))
	for _, file := range files {
		var one tally
		data, errRead := os.ReadFile(file)
		if err = errors.Join(err, errRead, json.Unmarshal(data, &one)); err == nil {
			sum.sumUp(&one)
		}
	}
	if err != nil {
		t.Error(err)
	}
	return sum
}

func (y *tally) sumUp(o *tally) {
	y.Rounds, y.Kills, y.Violations = y.Rounds+o.Rounds, y.Kills+o.Kills, y.Violations+o.Violations
	y.Deployments, y.Calls = y.Deployments+o.Deployments, y.Calls+o.Calls
	y.Writes, y.Requests = y.Writes+o.Writes, y.Requests+o.Requests
	y.Starved = max(y.Starved, o.Starved)
	for kind, n := range o.Faults {
		y.Faults[kind] += n
	}
	for kind, n := range o.Unmet {
		y.Unmet[kind] += n
	}
	for name, took := range o.Took {
		y.Took[name] = append(y.Took[name], took...)
	}
}

// save writes the figures down, so that what was done counts however the run ends.
func (y *tally) save(t *testing.T) {
	data, err := json.MarshalIndent(y, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(y.path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(y.path, data, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
