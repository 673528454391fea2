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
	return d.AppendEvents(events, "r1", epoch), d.EventsHash
}

func TestHashEvent_CoversAllStoredButTheID(t *testing.T) {
	t.Parallel()
	weight := 5
	e := rollout.Event{
		Seq: 1, At: epoch, Type: "t", DeploymentID: "d", Actor: "a", Replica: "r", Epoch: 1, Target: "x", Wave: 1, From: "f", To: "o",
		Message: "m", Call: &rollout.Call{WebhookID: "w", Action: "deploy", Version: "v", PreviousVersion: "p", Attempt: 1, Fence: 1, Deadline: epoch, NewWeight: &weight, Request: &rollout.SentRequest{Method: "POST", URL: "u", BodySHA256: "s"}},
	}
	before := rollout.HashEvent(rollout.Hash{}, &e)
	notStored := []string{"ID", "Service", "Environment", "Hash", "Call"} // the call's fields are looked at one by one
	tamper(t, reflect.ValueOf(&e).Elem(), notStored, func(field string) {
		if rollout.HashEvent(rollout.Hash{}, &e) == before {
			t.Errorf("a changed %s gives the same hash", field)
		}
	})
	tamper(t, reflect.ValueOf(e.Call).Elem(), nil, func(field string) {
		if rollout.HashEvent(rollout.Hash{}, &e) == before {
			t.Errorf("a call's changed %s gives the same hash", field)
		}
	})
	tamper(t, reflect.ValueOf(e.Call.Request).Elem(), nil, func(field string) {
		if rollout.HashEvent(rollout.Hash{}, &e) == before {
			t.Errorf("a request's changed %s gives the same hash", field)
		}
	})
	if rollout.HashEvent(before, &e) == before {
		t.Error("the event before is not covered")
	}
}

// tamper changes each field in turn, and restores it.
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
		case *int, *rollout.SentRequest:
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
func TestHashEvent_NoTwoEventsAlike(t *testing.T) {
	t.Parallel()
	a, b := rollout.Event{Type: "ab", Actor: "c"}, rollout.Event{Type: "a", Actor: "bc"}
	if rollout.HashEvent(rollout.Hash{}, &a) == rollout.HashEvent(rollout.Hash{}, &b) {
		t.Error("they have the same hash")
	}
}

// Chains that were written by any version must be verified by every later one.
func TestHashEvent_EncodingNeverChanges(t *testing.T) {
	t.Parallel()
	_, last := written(3)
	const want = "72799481b8a43b5ef349d899f5c291d660ffd59bb3dc6be22cf601a93805c92f"
	if last.String() != want {
		t.Errorf("the hash is %s, and was %s", last, want)
	}
}

func TestHash_TextRoundTrip(t *testing.T) {
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
