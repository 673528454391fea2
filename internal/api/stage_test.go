package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/dbtest"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// stage is a database with the API before it, where a replica's own saves bring deployments into any state.
type stage struct {
	*client
	store *store.Store
	url   string
	mine  []string
}

const stageReplica = "r1"

func newStage(t *testing.T) *stage {
	t.Helper()
	url := dbtest.New(t)
	s, err := store.Open(t.Context(), url, store.SealedBy(dbtest.NewKeyring(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, err := s.Heartbeat(t.Context(), stageReplica, time.Hour); err != nil {
		t.Fatal(err)
	}
	return &stage{client: serve(t, api.Config{Store: s}), store: s, url: url}
}

// replica is another API before the same database.
func (s *stage) replica() *client {
	s.t.Helper()
	again, err := store.Open(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(again.Close)
	return serve(s.t, api.Config{Store: again})
}

// request is a deployment of the service on n targets, web-1, web-2 and so on.
func (s *stage) request(service, version string, n int) string {
	targets := make([]string, n)
	for i := range targets {
		targets[i] = fmt.Sprintf(`{"id":"web-%d","address":"http://10.0.0.%d:8080"}`, i+1, i+1)
	}
	return fmt.Sprintf(`{"service":%q,"version":%q,"labels":{"commit":"abc"},"targets":[%s],"strategy":{"type":"rolling","batch_size":[1,2]},
		"deploy":{"secret":"whsec_c2VjcmV0c2VjcmV0c2VjcmV0"},"health_checks":[{"type":"http","path":"/up"}]}`,
		service, version, strings.Join(targets, ","))
}

// begun is a deployment that has begun; touch says what has become of its targets.
func (s *stage) begun(service, version string, n int, touch func(t *rollout.Target)) *rollout.Snapshot {
	s.t.Helper()
	snap := s.claim(s.created(s.request(service, version, n)))
	s.begin(snap, touch)
	return snap
}

func (s *stage) begin(snap *rollout.Snapshot, touch func(t *rollout.Target)) {
	s.t.Helper()
	d := &snap.Deployment
	d.State, d.StartedAt, d.Reason = rollout.StateInProgress, d.CreatedAt.Add(time.Second), "wave 1 of 2"
	d.Progress = rollout.Progress{Wave: 1, LastProgressAt: d.StartedAt, WaveStartedAt: d.StartedAt}
	d.DeadlineAt = d.StartedAt.Add(10 * time.Minute)
	for i := range snap.Targets {
		touch(&snap.Targets[i])
	}
	s.save(snap, rollout.EventStarted)
}

// ended is a deployment that has ended in the state.
func (s *stage) ended(service, version string, n int, state rollout.State, touch func(t *rollout.Target)) string {
	s.t.Helper()
	snap := s.begun(service, version, n, touch)
	s.end(snap, state)
	return snap.Deployment.ID
}

func (s *stage) end(snap *rollout.Snapshot, state rollout.State) {
	s.t.Helper()
	d := &snap.Deployment
	d.State, d.FinishedAt, d.DeadlineAt = state, d.StartedAt.Add(time.Minute), time.Time{}
	d.Result = &rollout.Result{State: state, Errors: []rollout.TargetError{}, Metadata: map[string]any{}}
	if state == rollout.StateRolledBack && d.Kind == rollout.KindDeploy {
		d.Direction = rollout.Backward
	}
	s.save(snap, "deployment."+string(state))
}

func (s *stage) claim(id string) *rollout.Snapshot {
	s.t.Helper()
	claimed, _, err := s.store.ClaimDeployments(s.t.Context(), stageReplica, s.mine, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range claimed {
		s.mine = append(s.mine, claimed[i].Snapshot.Deployment.ID)
	}
	i := slices.IndexFunc(claimed, func(c storage.Claimed) bool { return c.Snapshot.Deployment.ID == id })
	if i < 0 {
		s.t.Fatalf("%s is not to be claimed", id)
	}
	return &claimed[i].Snapshot
}

func (s *stage) save(snap *rollout.Snapshot, event string) {
	s.t.Helper()
	d := &snap.Deployment
	d.Counts = rollout.CountStates(snap.Targets)
	saved, err := s.store.SaveDeployment(s.t.Context(), storage.SaveRequest{
		Deployment: *d, Targets: snap.Targets, Events: []rollout.Event{{At: time.Now(), Type: event, To: string(d.State)}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	d.Revision, d.LastSeq, d.EventsHash, d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
}

// updated is a target that was called and runs what it should; before, it ran v1.
func updated(t *rollout.Target) { arrived(t, "v1") }

func arrived(t *rollout.Target, from string) {
	t.CallsSent, t.Attempts, t.Fence, t.PreviousVersion, t.Version = 1, 1, t.Fence+1, from, t.DesiredVersion
	t.State, t.Phase = rollout.TargetUpdated, rollout.PhaseSettled
}

// unchanged is a target whose turn never came.
func unchanged(t *rollout.Target) { t.State, t.Phase = rollout.TargetUnchanged, rollout.PhaseSettled }

// firstOnly updates the first target and leaves the others alone.
func firstOnly(t *rollout.Target) {
	if t.ID == "web-1" {
		updated(t)
		return
	}
	unchanged(t)
}

// lastFails updates all targets but the third, which fails on the way.
func lastFails(t *rollout.Target) {
	updated(t)
	if t.ID == "web-3" {
		t.State, t.Version, t.Error = rollout.TargetFailed, "", "500: broken"
	}
}

// sendCommand posts a command.
func (s *stage) sendCommand(id, command, body string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/deployments/"+id+"/"+command, body, headers...)
}

// eventTypes returns the types of a deployment's events from the seq on.
func (s *stage) eventTypes(id string, from int) []string {
	s.t.Helper()
	list, err := s.store.Events(s.t.Context(), id, storage.Page{Limit: 200})
	if err != nil {
		s.t.Fatal(err)
	}
	types := []string{}
	for _, e := range list.Items[from:] {
		types = append(types, e.Type)
	}
	return types
}

func (s *stage) lastEvent(id string) rollout.Event {
	s.t.Helper()
	list, err := s.store.Events(s.t.Context(), id, storage.Page{Limit: 200})
	if err != nil || len(list.Items) == 0 {
		s.t.Fatal(err, len(list.Items))
	}
	return list.Items[len(list.Items)-1]
}
