package rollout_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

// written is a log of n events with the hash of the last.
func written(n int) ([]rollout.Event, rollout.Hash) {
	d := rollout.Deployment{ID: "0198", Epoch: 2}
	events := make([]rollout.Event, n)
	for i := range events {
		events[i] = rollout.Event{Type: rollout.EventTargetIntent, Target: "web-1", Wave: i, Message: "calls", Call: &rollout.Call{WebhookID: "msg", Attempt: i}}
	}
	return d.Append(events, "r1", epoch), d.EventsHash
}

func TestALogAsItWasWrittenHasNoFault(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 7} {
		events, last := written(n)
		if p := rollout.CheckChain(events, last); len(p.Faults) > 0 || p.Chained != n || p.Before != 0 {
			t.Errorf("%d events: %+v", n, p)
		}
	}
}

func TestWhatWasDoneToALogIsFoundWhereItWasDone(t *testing.T) {
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
			e[3].Hash = rollout.Chain(e[2].Hash, &e[3])
			return e
		}, []int64{5}, "does not follow"},
		"the last changed with its hash": {func(e []rollout.Event) []rollout.Event {
			e[6].Message = "called"
			e[6].Hash = rollout.Chain(e[5].Hash, &e[6])
			return e
		}, []int64{7}, "names another last one"},
		"deleted":           {func(e []rollout.Event) []rollout.Event { return slices.Delete(e, 3, 4) }, []int64{4}, "it is missing"},
		"several deleted":   {func(e []rollout.Event) []rollout.Event { return slices.Delete(e, 1, 4) }, []int64{2}, "up to 4 are missing"},
		"the first deleted": {func(e []rollout.Event) []rollout.Event { return e[1:] }, []int64{1, 2}, "it is missing"},
		"deleted and numbered anew": {func(e []rollout.Event) []rollout.Event {
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
			p := rollout.CheckChain(c.do(events), last)
			var seqs []int64
			var says []string
			for _, f := range p.Faults {
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

func TestTheHashCoversAllThatIsStoredOfAnEventExceptItsID(t *testing.T) {
	t.Parallel()
	weight := 5
	e := rollout.Event{
		Seq: 1, At: epoch, Type: "t", DeploymentID: "d", Actor: "a", Replica: "r", Epoch: 1, Target: "x", Wave: 1, From: "f", To: "o",
		Message: "m", Call: &rollout.Call{WebhookID: "w", Action: "deploy", Version: "v", PreviousVersion: "p", Attempt: 1, Fence: 1, Until: epoch, NewWeight: &weight},
	}
	before := rollout.Chain(rollout.Hash{}, &e)
	notStored := []string{"ID", "Service", "Environment", "Hash", "Call"} // the call's fields are looked at one by one
	tamper(t, reflect.ValueOf(&e).Elem(), notStored, func(field string) {
		if rollout.Chain(rollout.Hash{}, &e) == before {
			t.Errorf("a changed %s gives the same hash", field)
		}
	})
	tamper(t, reflect.ValueOf(e.Call).Elem(), nil, func(field string) {
		if rollout.Chain(rollout.Hash{}, &e) == before {
			t.Errorf("a call's changed %s gives the same hash", field)
		}
	})
	if rollout.Chain(before, &e) == before {
		t.Error("the event before is not covered")
	}
}

// tamper changes each field in turn, and puts it back.
func tamper(t *testing.T, v reflect.Value, except []string, changed func(field string)) {
	t.Helper()
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		if slices.Contains(except, name) {
			continue
		}
		was := reflect.ValueOf(field.Interface())
		switch value := field.Interface().(type) {
		case time.Time:
			field.Set(reflect.ValueOf(value.Add(time.Microsecond)))
		case *int:
			field.SetZero()
		default:
			if field.CanInt() {
				field.SetInt(field.Int() + 1)
			} else {
				field.SetString(field.String() + "'")
			}
		}
		changed(name)
		field.Set(was)
	}
}

// Moving a character from one text into the next gives another event.
func TestNoTwoEventsLookAlike(t *testing.T) {
	t.Parallel()
	a, b := rollout.Event{Type: "ab", Actor: "c"}, rollout.Event{Type: "a", Actor: "bc"}
	if rollout.Chain(rollout.Hash{}, &a) == rollout.Chain(rollout.Hash{}, &b) {
		t.Error("they have the same hash")
	}
}

// Chains that were written by any version must be verified by every later one.
func TestTheEncodingNeverChanges(t *testing.T) {
	t.Parallel()
	_, last := written(3)
	const want = "72799481b8a43b5ef349d899f5c291d660ffd59bb3dc6be22cf601a93805c92f"
	if last.String() != want {
		t.Errorf("the hash is %s, and was %s", last, want)
	}
}

func TestAChainBeginsWhereItBegins(t *testing.T) {
	t.Parallel()
	d := rollout.Deployment{ID: "0198", LastSeq: 2}
	old := []rollout.Event{{Seq: 1, DeploymentID: d.ID, Type: "old"}, {Seq: 2, DeploymentID: d.ID, Type: "old"}}
	events := append(old, d.Append([]rollout.Event{{Type: "a"}, {Type: "b"}}, "", epoch)...)
	p := rollout.CheckChain(events, d.EventsHash)
	if len(p.Faults) > 0 || p.Before != 2 || p.Chained != 2 {
		t.Errorf("%+v", p)
	}
	if p := rollout.CheckChain(old, rollout.Hash{}); len(p.Faults) > 0 || p.Before != 2 || p.Chained != 0 {
		t.Errorf("without any hash: %+v", p)
	}
}

func TestAHashThatWasKeptElsewhereShowsAWholeNewChain(t *testing.T) {
	t.Parallel()
	events, kept := written(3)
	if !rollout.HasHash(events, kept) || rollout.HasHash(events, rollout.Hash{}) {
		t.Error("the log as it was written is not recognised")
	}
	forged := rollout.Deployment{ID: "0198", Epoch: 2}
	events[0].Message = "nothing"
	events = forged.Append(events, "r1", epoch)
	if p := rollout.CheckChain(events, forged.EventsHash); len(p.Faults) > 0 || rollout.HasHash(events, kept) {
		t.Errorf("%+v", p)
	}
}

func TestAHashIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	_, h := written(1)
	for _, want := range []rollout.Hash{h, {}} {
		text, err := json.Marshal(want)
		var got rollout.Hash
		if err != nil || json.Unmarshal(text, &got) != nil || got != want {
			t.Errorf("%s became %s (%v)", want, got, err)
		}
	}
	var got rollout.Hash
	if got.UnmarshalText([]byte("12")) == nil || got.UnmarshalText([]byte(strings.Repeat("g", 64))) == nil {
		t.Error("what is no hash is read")
	}
}
