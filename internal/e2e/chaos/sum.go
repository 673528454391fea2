package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Sum is what rounds have shown together. Its file can be summed up over runs; fields may be added, never renamed or retyped.
type Sum struct {
	// Seed is that of the run, 0 for several.
	Seed                                                                   uint64
	Rounds, Kills, Deployments, Calls, Writes, Requests, Takeovers, Failed int
	Violations                                                             int
	// Faults counts what happened, Unmet what was planned and whose moment never came.
	Faults map[Kind]int
	Unmet  map[Kind]int
	// Took are the times that were measured, in milliseconds.
	Took map[string][]int64
	// Lasted is how long the rounds took together, Starved the longest that a test itself was kept from running.
	Lasted, Starved time.Duration
}

// NewSum returns an empty sum.
func NewSum(seed uint64) *Sum {
	return &Sum{Seed: seed, Faults: map[Kind]int{}, Unmet: map[Kind]int{}, Took: map[string][]int64{}}
}

// AddRound adds a round that lasted so long: what was seen, what violated a promise, and which faults' moments never came.
func (s *Sum) AddRound(h *History, found []Violation, unmet map[Kind]int, lasted time.Duration) {
	one := NewSum(s.Seed)
	one.Rounds, one.Deployments, one.Calls, one.Writes, one.Requests = 1, len(h.Deployments), len(h.Calls), len(h.Writes), len(h.Ops)
	one.Violations, one.Faults, one.Unmet, one.Lasted, one.Starved = len(found), CountInjected(h), unmet, lasted, h.Starved
	for kind, n := range one.Faults {
		if kind.Kills() {
			one.Kills += n
		}
	}
	for _, d := range h.Deployments {
		for _, e := range d.Events {
			if e.Type == "deployment.taken_over" {
				one.Takeovers++
			}
		}
	}
	for _, m := range MeasureTimes(h) {
		for _, took := range m.Took {
			one.Took[m.Name] = append(one.Took[m.Name], took.Milliseconds())
		}
	}
	s.AddSum(one)
}

// AddSum adds another sum.
func (s *Sum) AddSum(o *Sum) {
	s.Rounds, s.Kills, s.Violations, s.Failed = s.Rounds+o.Rounds, s.Kills+o.Kills, s.Violations+o.Violations, s.Failed+o.Failed
	s.Deployments, s.Calls, s.Takeovers = s.Deployments+o.Deployments, s.Calls+o.Calls, s.Takeovers+o.Takeovers
	s.Writes, s.Requests = s.Writes+o.Writes, s.Requests+o.Requests
	s.Lasted, s.Starved = s.Lasted+o.Lasted, max(s.Starved, o.Starved)
	for kind, n := range o.Faults {
		s.Faults[kind] += n
	}
	for kind, n := range o.Unmet {
		s.Unmet[kind] += n
	}
	for name, took := range o.Took {
		s.Took[name] = append(s.Took[name], took...)
	}
}

// MissingKinds returns the kinds of fault that never happened.
func (s *Sum) MissingKinds() []Kind {
	return slices.DeleteFunc(AllKinds(), func(k Kind) bool { return s.Faults[k] > 0 })
}

// FormatTable shows the sum to people.
func (s *Sum) FormatTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds in %s: %d deployments, %d takeovers, %d calls, %d writes to routers, %d requests\n",
		s.Rounds, s.Lasted.Round(time.Second), s.Deployments, s.Takeovers, s.Calls, s.Writes, s.Requests)
	fmt.Fprintf(&b, "%-42s %6s %8s\n", "fault", "injected", "too late")
	for _, kind := range AllKinds() {
		fmt.Fprintf(&b, "%-42s %6d %8d\n", kind, s.Faults[kind], s.Unmet[kind])
	}
	fmt.Fprintf(&b, "%-42s %6d\n%-42s %6d\n%-42s %6d\n", "kills", s.Kills, "violations", s.Violations, "rounds that failed otherwise", s.Failed)
	for _, name := range slices.Sorted(maps.Keys(s.Took)) {
		took := slices.Sorted(slices.Values(s.Took[name]))
		fmt.Fprintf(&b, "%-42s %6d times, median %d ms, at most %d ms\n", name, len(took), took[len(took)/2], took[len(took)-1])
	}
	fmt.Fprintf(&b, "%-42s %6d ms\n", "the test itself stood still for", s.Starved.Milliseconds())
	return b.String()
}

// Save writes the sum to a file, whole or not at all, and makes the folder when it is missing.
func (s *Sum) Save(path string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write a sum: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // figures that anybody may read
		return fmt.Errorf("make the folder of sums: %w", err)
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil { //nolint:gosec // figures that anybody may read
		return fmt.Errorf("write a sum: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("put a sum in its place: %w", err)
	}
	return nil
}

// SumFolder joins the sums in a folder, one file each. Delete files to leave them out.
func SumFolder(folder string) (*Sum, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list the sums: %w", err)
	}
	sum, errs := NewSum(0), []error{}
	for _, file := range files {
		one := NewSum(0)
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, one)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read the sum %s: %w", file, err))
			continue
		}
		sum.AddSum(one)
	}
	return sum, errors.Join(errs...)
}
