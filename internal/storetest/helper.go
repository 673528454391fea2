package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

const lease = time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != code {
		t.Fatalf("got error %v (code %q), want code %q", err, problem.CodeOf(err), code)
	}
}

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return c
}

// NewRequest asks for v2 of a service in production on n targets, the last of which are taken first.
func NewRequest(service string, n int) storage.NewDeployment {
	zero := 0
	r := storage.NewDeployment{Deployment: rollout.Deployment{
		Service: service, Environment: "production", Version: "v2", Kind: rollout.KindDeploy, RequestedBy: "ann",
		Labels: map[string]string{"commit": "abc"}, DeploySecret: "whsec_c2VjcmV0",
		Spec: rollout.Spec{
			Strategy:   rollout.Strategy{Type: "rolling", OnFailure: rollout.OnFailureRollback, MaxFailures: &zero, BatchSize: rollout.Sizes{1, 2}},
			Waves:      []rollout.Wave{{Size: n, Parallel: 1, Weight: 100, Bake: duration.Duration(time.Second)}},
			Checks:     []healthcheck.Check{{Name: "http", Type: "http", Critical: true, Interval: duration.Duration(time.Second)}},
			OnConflict: rollout.OnConflictQueue,
		},
		Counts: rollout.Counts{Total: n},
	}}
	for i := range n {
		position := n - 1 - i
		r.Targets = append(r.Targets, rollout.Target{
			ID: fmt.Sprintf("web-%d", position), Name: "web", Address: fmt.Sprintf("http://10.0.%d.%d", position/250, position%250),
			Metadata: map[string]any{"zone": "a"}, Position: position, Wave: 1, DesiredVersion: "v2",
			State: rollout.TargetPending, Phase: rollout.PhaseNew, Health: healthcheck.Unknown,
			Checks: []healthcheck.State{{Status: healthcheck.Unknown, LastStatus: healthcheck.Unknown}},
		})
	}
	return r
}

func createDeployment(t testing.TB, s Store, r storage.NewDeployment) rollout.Deployment {
	t.Helper()
	created, err := s.CreateDeployment(ctx(t), r)
	must(t, err)
	return created.Deployment
}

// claimOne makes a living replica the owner of the one deployment that is there to be claimed.
func claimOne(t testing.TB, s Store, replica string) *rollout.Snapshot {
	t.Helper()
	c := claimAll(t, s, replica)
	if len(c) != 1 {
		t.Fatalf("%s claimed %d deployments, want 1", replica, len(c))
	}
	return &c[0].Snapshot
}

func claimAll(t testing.TB, s Store, replica string) []storage.Claimed {
	t.Helper()
	_, err := s.Heartbeat(ctx(t), replica, lease)
	must(t, err)
	c, _, err := s.ClaimDeployments(ctx(t), replica, nil, 100)
	must(t, err)
	return c
}

// startDeployment returns a claimed deployment that has begun.
func startDeployment(t testing.TB, s Store, service, replica string) *rollout.Snapshot {
	t.Helper()
	createDeployment(t, s, NewRequest(service, 3))
	snap := claimOne(t, s, replica)
	d := &snap.Deployment
	d.State, d.StartedAt, d.Reason = rollout.StateInProgress, d.CreatedAt.Add(time.Second), "wave 1 of 1"
	saveStep(t, s, snap, storage.SaveRequest{Events: []rollout.Event{{Type: rollout.EventStarted, Actor: rollout.ActorEngine}}})
	return snap
}

// saveStep writes the snapshot's deployment with the rest of sv, and follows the counters.
func saveStep(t testing.TB, s Store, snap *rollout.Snapshot, sv storage.SaveRequest) storage.SaveResult {
	t.Helper()
	sv.Deployment, sv.Events = snap.Deployment, WithTimes(sv.Events...)
	saved, err := s.SaveDeployment(ctx(t), sv)
	must(t, err)
	d := &snap.Deployment
	d.Revision, d.LastSeq, d.EventsHash, d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
	return saved
}

// WithTimes sets the present time of events that have none.
func WithTimes(events ...rollout.Event) []rollout.Event {
	timed := slices.Clone(events)
	for i := range timed {
		if timed[i].At.IsZero() {
			timed[i].At = time.Now()
		}
	}
	return timed
}

func finishDeployment(t testing.TB, s Store, snap *rollout.Snapshot, state rollout.State) {
	t.Helper()
	d := &snap.Deployment
	d.State, d.FinishedAt = state, d.StartedAt.Add(time.Minute)
	d.Result = &rollout.Result{Success: state == rollout.StateCompleted, State: state, Errors: []rollout.TargetError{}, Metadata: map[string]any{}}
	saveStep(t, s, snap, storage.SaveRequest{Events: []rollout.Event{{Type: rollout.EventCompleted}}})
}

func readDeployment(t testing.TB, s Store, id string) rollout.Deployment {
	t.Helper()
	d, err := s.Deployment(ctx(t), id)
	must(t, err)
	return d
}

func readEvents(t testing.TB, s Store, id string) []rollout.Event {
	t.Helper()
	var all []rollout.Event
	for page := (storage.Page{Limit: 200}); ; {
		list, err := s.Events(ctx(t), id, page)
		must(t, err)
		all = append(all, list.Items...)
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			return all
		}
	}
}

func eventTypes(events []rollout.Event) (names []string) {
	for _, e := range events {
		names = append(names, e.Type)
	}
	return names
}

// wantNumbered checks that events count 1, 2, 3 … with growing ids.
func wantNumbered(t testing.TB, events []rollout.Event) {
	t.Helper()
	for i, e := range events {
		if e.Seq != int64(i+1) || i > 0 && e.ID <= events[i-1].ID {
			t.Fatalf("event %d has seq %d and id %d", i, e.Seq, e.ID)
		}
	}
}

// atOnce runs do n times side by side and waits for all.
func atOnce(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
