package testtarget

import (
	"errors"
	"fmt"
)

// Fleet is a set of targets that share one journal.
type Fleet struct {
	// Targets are the targets in the order of their ids, "web-1" first.
	Targets []*Target
	journal *journal
}

// New starts n targets that run version, on free ports of 127.0.0.1. Close the fleet when done.
func New(n int, version string) (*Fleet, error) {
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = "127.0.0.1:0"
	}
	return Listen(addrs, version)
}

// Listen starts one target for each address ("127.0.0.1:9101"), all running version. When one address is taken none is
// left listening.
func Listen(addrs []string, version string) (*Fleet, error) {
	f := &Fleet{journal: &journal{}}
	for i, addr := range addrs {
		t, err := newTarget(fmt.Sprintf("web-%d", i+1), addr, version, f.journal)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.Targets = append(f.Targets, t)
	}
	return f, nil
}

// Target returns the target with that id, or nil.
func (f *Fleet) Target(id string) *Target {
	for _, t := range f.Targets {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// Calls lists the deploy calls of all targets, in the order in which they were received.
func (f *Fleet) Calls() []Call { return f.journal.listCalls("") }

// CallCount returns how many deploy calls were received.
func (f *Fleet) CallCount() int { return f.journal.countCalls() }

// MaxOpen returns the highest number of deploy calls that were open at the same time over all targets.
func (f *Fleet) MaxOpen() int { return f.journal.maxOpen("") }

// Versions returns what each target runs, by id.
func (f *Fleet) Versions() map[string]string {
	versions := make(map[string]string, len(f.Targets))
	for _, t := range f.Targets {
		versions[t.ID] = t.Version()
	}
	return versions
}

// Close stops all targets and returns when none of their handlers runs any more.
func (f *Fleet) Close() error {
	var errs []error
	for _, t := range f.Targets {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
