package audit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/audit"
	"rollcall/internal/rollout"
)

func TestVerifyChain_UnchangedLogHasNoViolation(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 7} {
		events, last := written(n)
		if p := audit.VerifyChain(events, last); len(p.Violations) > 0 || p.Chained != n || p.Unchained != 0 {
			t.Errorf("%d events: %+v", n, p)
		}
	}
}

func TestVerifyChain_FindsEachChange(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		do   func(events []rollout.Event) []rollout.Event
		seqs []int64
		says string
	}{
		"changed":           {func(e []rollout.Event) []rollout.Event { e[3].Message = "called"; return e }, []int64{4}, "it was changed"},
		"the first changed": {func(e []rollout.Event) []rollout.Event { e[0].Actor = "ann"; return e }, []int64{1}, "it was changed"},
		"the last changed":  {func(e []rollout.Event) []rollout.Event { e[6].To = "updated"; return e }, []int64{7}, "it was changed"},
		"changed with its hash": {func(e []rollout.Event) []rollout.Event {
			e[3].Message = "called"
			e[3].Hash = rollout.HashEvent(e[2].Hash, &e[3])
			return e
		}, []int64{5}, "does not follow"},
		"the last changed with its hash": {func(e []rollout.Event) []rollout.Event {
			e[6].Message = "called"
			e[6].Hash = rollout.HashEvent(e[5].Hash, &e[6])
			return e
		}, []int64{7}, "names another last one"},
		"deleted":           {func(e []rollout.Event) []rollout.Event { return slices.Delete(e, 3, 4) }, []int64{4}, "it is missing"},
		"several deleted":   {func(e []rollout.Event) []rollout.Event { return slices.Delete(e, 1, 4) }, []int64{2}, "up to 4 are missing"},
		"the first deleted": {func(e []rollout.Event) []rollout.Event { return e[1:] }, []int64{1, 2}, "it is missing"},
		"deleted and numbered again": {func(e []rollout.Event) []rollout.Event {
			e = slices.Delete(e, 5, 6)
			e[5].Seq = 6
			return e
		}, []int64{6}, "does not follow"},
		"neighbours swapped": {func(e []rollout.Event) []rollout.Event { return swapped(e, 2, 3) }, []int64{3, 4, 5}, "written as event 4"},
		"others swapped":     {func(e []rollout.Event) []rollout.Event { return swapped(e, 1, 4) }, []int64{2, 3, 5, 6}, "written as event 5"},
		"out of order":       {func(e []rollout.Event) []rollout.Event { e[1], e[2] = e[2], e[1]; return e }, []int64{2, 2, 3}, "it is missing"},
		"inserted": {func(e []rollout.Event) []rollout.Event {
			return renumbered(slices.Insert(e, 3, rollout.Event{DeploymentID: "0198", At: epoch, Type: "x", Actor: "ann", Hash: rollout.Hash{1}}))
		}, []int64{4, 5, 6, 7, 8}, "it was changed"},
		"inserted without a hash": {func(e []rollout.Event) []rollout.Event {
			return renumbered(slices.Insert(e, 7, rollout.Event{DeploymentID: "0198", At: epoch, Type: "x", Actor: "ann"}))
		}, []int64{8}, "it has no hash"},
		"truncated": {func(e []rollout.Event) []rollout.Event { return e[:5] }, []int64{5}, "what came after it is missing"},
		"emptied":   {func(e []rollout.Event) []rollout.Event { return nil }, []int64{0}, "what came after it is missing"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, last := written(7)
			p := audit.VerifyChain(c.do(events), last)
			var seqs []int64
			var says []string
			for _, f := range p.Violations {
				seqs, says = append(seqs, f.Seq), append(says, f.Message)
			}
			if !slices.Equal(seqs, c.seqs) || !strings.Contains(strings.Join(says, "; "), c.says) {
				t.Errorf("faults at %v, want %v: %q, want %q", seqs, c.seqs, says, c.says)
			}
		})
	}
}

// swapped is the log with what two events say in each other's place.
func swapped(e []rollout.Event, i, j int) []rollout.Event {
	e[i], e[j] = e[j], e[i]
	return renumbered(e)
}

func renumbered(e []rollout.Event) []rollout.Event {
	for i := range e {
		e[i].Seq = int64(i + 1)
	}
	return e
}

func TestVerifyChain_StartsAtFirstHash(t *testing.T) {
	t.Parallel()
	d := rollout.Deployment{ID: "0198", LastSeq: 2}
	old := []rollout.Event{{Seq: 1, DeploymentID: d.ID, Type: "old"}, {Seq: 2, DeploymentID: d.ID, Type: "old"}}
	events := append(old, d.AppendEvents([]rollout.Event{{Type: "a"}, {Type: "b"}}, "", epoch)...)
	p := audit.VerifyChain(events, d.EventsHash)
	if len(p.Violations) > 0 || p.Unchained != 2 || p.Chained != 2 {
		t.Errorf("%+v", p)
	}
	if p := audit.VerifyChain(old, rollout.Hash{}); len(p.Violations) > 0 || p.Unchained != 2 || p.Chained != 0 {
		t.Errorf("without any hash: %+v", p)
	}
}

func TestContainsHash_ShowsReplacedChain(t *testing.T) {
	t.Parallel()
	events, kept := written(3)
	if !audit.ContainsHash(events, kept) || audit.ContainsHash(events, rollout.Hash{}) {
		t.Error("the log as it was written is not recognised")
	}
	forged := rollout.Deployment{ID: "0198", Epoch: 2}
	events[0].Message = "nothing"
	events = forged.AppendEvents(events, "r1", epoch)
	if p := audit.VerifyChain(events, forged.EventsHash); len(p.Violations) > 0 || audit.ContainsHash(events, kept) {
		t.Errorf("%+v", p)
	}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

// written returns a log of n events with the hash of the last.
func written(n int) ([]rollout.Event, rollout.Hash) {
	d := rollout.Deployment{ID: "0198", Epoch: 2}
	events := make([]rollout.Event, n)
	for i := range events {
		events[i] = rollout.Event{Type: rollout.EventTargetIntent, Target: "web-1", Wave: i, Message: "calls", Call: &rollout.Call{WebhookID: "msg", Attempt: i}}
	}
	return d.AppendEvents(events, "r1", epoch), d.EventsHash
}
