package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
	"rollcall/internal/storetest"
)

// memory keeps deployments as the store does, for tests under a synthetic clock. It passes the same tests.
type memory struct {
	mu         sync.Mutex
	rows       map[string]*row
	replicas   map[string]time.Time
	remembered map[place]storage.TargetRecord
	fences     map[string]int64        // by address
	work       map[string]rollout.Work // by address
	verified   map[place]rollout.Verified
	listeners  map[int]func(string)
	next       int
	events     int64
	mute       bool // its notifications are lost
}

type row struct {
	snap     rollout.Snapshot
	inFlight []rollout.Target // targets that are not written to the snapshot yet
	runAt    time.Time
	events   []rollout.Event
}

// current is the snapshot with the targets in flight as they are.
func (r *row) current() *rollout.Snapshot {
	s := r.snap.Clone()
	for _, t := range r.inFlight {
		s.Targets[r.find(t.ID)] = t.Clone()
	}
	return s
}

// settle writes the targets in flight: the deployment has another owner, or none.
func (r *row) settle() {
	r.snap.Targets, r.inFlight = r.current().Targets, nil
}

func (r *row) find(id string) int {
	return slices.IndexFunc(r.snap.Targets, func(t rollout.Target) bool { return t.ID == id })
}

// place is where something is remembered: a target of a service in an environment, or with no target its router, whose
// version is the slot that serves.
type place struct{ service, environment, target string }

func newMemory() *memory {
	return &memory{
		rows: map[string]*row{}, replicas: map[string]time.Time{}, remembered: map[place]storage.TargetRecord{},
		fences: map[string]int64{}, work: map[string]rollout.Work{}, verified: map[place]rollout.Verified{}, listeners: map[int]func(string){},
	}
}

func TestMemoryStore_Conformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Store { return newMemory() })
}

func (m *memory) read(id string) (rollout.Snapshot, []rollout.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id]
	return *r.current(), slices.Clone(r.events)
}

// update does what a command of the API does.
func (m *memory) update(id string, change func(d *rollout.Deployment)) {
	_, err := m.UpdateDeployment(context.Background(), id, 0, func(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
		change(d)
		return []rollout.Event{{Type: "changed", Actor: "ann"}}, nil
	})
	if err != nil && problem.CodeOf(err) != problem.CodeConflict { // it has ended meanwhile
		panic(err)
	}
}

func (m *memory) notify(id string) {
	if m.mute {
		return
	}
	for _, f := range m.listeners {
		f(id)
	}
}

// databaseTime returns the time in whole microseconds, as the database has it.
func databaseTime() time.Time { return time.Now().UTC().Round(0).Truncate(time.Microsecond) }

func (m *memory) row(id string) (*row, error) {
	if r, ok := m.rows[id]; ok {
		return r, nil
	}
	return nil, &problem.Error{Code: problem.CodeNotFound, ID: id, Message: "there is no deployment " + id}
}

func (m *memory) CreateDeployment(_ context.Context, n storage.NewDeployment) (storage.Created, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	now, d := databaseTime(), n.Deployment
	d.ID = cmp.Or(d.ID, fmt.Sprintf("00000000-0000-7000-8000-%012d", m.next))
	d.State, d.Direction = rollout.StatePending, cmp.Or(d.Direction, rollout.Forward)
	d.Reason = cmp.Or(d.Reason, "waiting to start")
	d.CreatedAt, d.Revision = now, 1
	events := []rollout.Event{{Type: rollout.EventCreated, Actor: d.RequestedBy, To: string(d.State)}}
	for _, other := range m.unfinished(&d) {
		o := &other.snap.Deployment
		switch {
		case d.Spec.OnConflict == rollout.OnConflictReject:
			return storage.Created{}, &problem.Error{Code: problem.CodeConflict, ID: o.ID, Message: "another has not ended"}
		case o.Active():
			d.Reason = "waiting for deployment " + o.ID + " to end"
			events = append(events, rollout.Event{Type: rollout.EventQueued, Message: d.Reason})
		default:
			m.supersede(other, d.ID, now)
		}
	}
	r := &row{snap: *(&rollout.Snapshot{Deployment: d, Targets: n.Targets}).Clone(), runAt: now}
	for i := range r.snap.Targets {
		r.snap.Targets[i].UpdatedAt = now
	}
	m.rows[d.ID] = r
	m.append(r, events, now)
	m.notify(d.ID)
	return storage.Created{Deployment: r.snap.Deployment}, nil
}

// unfinished are the other deployments of the same service and environment that have not ended.
func (m *memory) unfinished(d *rollout.Deployment) []*row {
	var list []*row
	for _, id := range slices.Sorted(maps.Keys(m.rows)) {
		o := &m.rows[id].snap.Deployment
		if o.ID != d.ID && o.Service == d.Service && o.Environment == d.Environment && o.FinishedAt.IsZero() {
			list = append(list, m.rows[id])
		}
	}
	return list
}

func (m *memory) active(d *rollout.Deployment) bool {
	return slices.ContainsFunc(m.unfinished(d), func(r *row) bool { return r.snap.Deployment.Active() })
}

func (m *memory) supersede(r *row, by string, now time.Time) {
	d := &r.snap.Deployment
	d.State, d.Reason = rollout.StateSuperseded, "superseded by deployment "+by
	d.Revision++
	m.append(r, []rollout.Event{{Type: rollout.EventSuperseded, Message: d.Reason}}, now)
	m.end(r, now)
	m.notify(d.ID)
}

// end settles what belongs to a deployment that ended before it began.
func (m *memory) end(r *row, now time.Time) {
	d := &r.snap.Deployment
	d.Owner = ""
	if d.FinishedAt.IsZero() {
		d.FinishedAt = now
	}
	d.DeadlineAt, d.NextActionAt, d.Progress.PausedAt = time.Time{}, time.Time{}, time.Time{}
	if d.Result == nil {
		d.Result = &rollout.Result{State: d.State}
	}
	for i := range r.snap.Targets {
		if t := &r.snap.Targets[i]; t.State == rollout.TargetPending {
			t.State, t.Phase, t.UpdatedAt = rollout.TargetUnchanged, rollout.PhaseSettled, now
		}
	}
}

func (m *memory) wakeNext(d *rollout.Deployment, now time.Time) {
	for _, r := range m.unfinished(d) {
		if r.snap.Deployment.StartedAt.IsZero() {
			r.runAt = now
			m.notify(r.snap.Deployment.ID)
		}
	}
}

// append numbers events and adds them.
func (m *memory) append(r *row, events []rollout.Event, now time.Time) {
	for _, e := range r.snap.Deployment.AppendEvents(events, "", now) {
		m.events++
		e.ID = m.events
		r.events = append(r.events, e)
	}
}

func (m *memory) UpdateDeployment(
	_ context.Context, id string, ifRevision int64, change func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error),
) (rollout.Deployment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.row(id)
	if err != nil {
		return rollout.Deployment{}, err
	}
	now, stored := databaseTime(), r.snap.Deployment
	if ifRevision != 0 && ifRevision != stored.Revision {
		return rollout.Deployment{}, &problem.Error{Code: problem.CodeStale, ID: id, Message: "it is at another revision"}
	}
	d := stored
	events, err := change(&d, now)
	if err != nil || len(events) == 0 {
		return stored, err
	}
	if stored.State.Terminal() {
		return stored, &problem.Error{Code: problem.CodeConflict, ID: id, Message: "it has ended"}
	}
	d.Revision++
	d.OperatorRevision++
	r.snap.Deployment, r.runAt = d, now
	m.append(r, events, now)
	if d.State.Terminal() {
		r.settle()
		m.end(r, now)
		m.wakeNext(&d, now)
	}
	m.notify(id)
	return r.snap.Deployment, nil
}

func (m *memory) Heartbeat(_ context.Context, replica string, lease time.Duration) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replicas[replica] = time.Now().Add(lease)
	return databaseTime(), nil
}

func (m *memory) ReleaseDeployments(_ context.Context, replica string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if d := &r.snap.Deployment; d.Owner == replica {
			r.settle()
			d.Owner = ""
			if now := databaseTime(); r.runAt.IsZero() || now.Before(r.runAt) {
				r.runAt = now
			}
			m.notify(d.ID)
		}
	}
	return nil
}

func (m *memory) ClaimDeployments(_ context.Context, replica string, mine []string, limit int) ([]storage.Claimed, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*row
	var next time.Time
	now := databaseTime()
	for _, r := range m.rows {
		d := &r.snap.Deployment
		switch {
		case m.claimable(r, replica, mine, now):
			list = append(list, r)
		case d.FinishedAt.IsZero() && d.Owner == "" && r.runAt.After(now) && (next.IsZero() || r.runAt.Before(next)):
			next = r.runAt
		}
	}
	slices.SortFunc(list, inTurn)
	var claimed []storage.Claimed
	for _, r := range list[:min(limit, len(list))] {
		claimed = append(claimed, m.claim(r, replica, now))
	}
	return claimed, next, nil
}

func (m *memory) claimable(r *row, replica string, mine []string, now time.Time) bool {
	d := &r.snap.Deployment
	if !d.FinishedAt.IsZero() || d.StartedAt.IsZero() && m.active(d) {
		return false
	}
	return d.Owner == "" && !now.Before(r.runAt) || m.dead(d.Owner) || d.Owner == replica && !slices.Contains(mine, d.ID)
}

func (m *memory) dead(owner string) bool { return owner != "" && !time.Now().Before(m.replicas[owner]) }

// inTurn puts what has begun before what waits, the longest due first.
func inTurn(a, b *row) int {
	turn := func(r *row) (waits int, at time.Time) {
		if d := &r.snap.Deployment; d.StartedAt.IsZero() {
			return 1, d.CreatedAt
		}
		return 0, r.runAt
	}
	aWaits, aAt := turn(a)
	bWaits, bAt := turn(b)
	return cmp.Or(aWaits-bWaits, aAt.Compare(bAt), strings.Compare(a.snap.Deployment.ID, b.snap.Deployment.ID))
}

func (m *memory) claim(r *row, replica string, now time.Time) storage.Claimed {
	r.settle()
	d := &r.snap.Deployment
	c := storage.Claimed{PreviousOwner: d.Owner, OverdueBy: now.Sub(r.runAt)}
	d.Owner = replica
	d.Epoch++
	if c.PreviousOwner != "" {
		d.Revision++
		m.append(r, []rollout.Event{{Type: rollout.EventTakenOver, Replica: replica, Message: "taken over from replica " + c.PreviousOwner}}, now)
		m.notify(d.ID)
	}
	if d.StartedAt.IsZero() && d.Kind == rollout.KindDeploy {
		verified := map[string]rollout.Verified{}
		for at, v := range m.verified {
			if at.service == d.Service && at.environment == d.Environment {
				verified[at.target] = v
			}
		}
		r.snap.LearnWayBack(verified)
	}
	c.Snapshot = *r.snap.Clone()
	m.recall(&c.Snapshot)
	return c
}

// recall brings a snapshot up to what is remembered.
func (m *memory) recall(s *rollout.Snapshot) {
	d := &s.Deployment
	for i := range s.Targets {
		t := &s.Targets[i]
		known := m.remembered[place{d.Service, d.Environment, t.ID}].ForAddress(t.Address)
		t.Fence = max(t.Fence, known.Fence, m.fences[rollout.CanonicalAddress(t.Address)])
		if t.Phase == rollout.PhaseNew && known.Version != "" {
			t.Version = known.Version
		}
		if work := m.work[rollout.CanonicalAddress(t.Address)]; work.Until.After(databaseTime()) {
			t.InheritWork(work)
		}
	}
	known := m.remembered[place{d.Service, d.Environment, ""}]
	s.ActiveSlot = known.Version
	if d.Spec.Traffic != nil {
		router := routing.State{}
		if d.Progress.Router != nil {
			router = *d.Progress.Router
		}
		router.Fence = max(router.Fence, known.Fence)
		d.Progress.Router = &router
	}
}

func (m *memory) SaveDeployment(_ context.Context, sv storage.SaveRequest) (storage.SaveResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.row(sv.Deployment.ID)
	if err != nil {
		return storage.SaveResult{}, err
	}
	if landed, err := m.fenced(&r.snap.Deployment, &sv.Deployment); err != nil || landed {
		return counters(&r.snap.Deployment), err
	}
	if err := sv.CheckTimes(); err != nil {
		return storage.SaveResult{}, err
	}
	now := databaseTime()
	m.write(r, sv)
	d := &r.snap.Deployment
	for i := range sv.Events {
		sv.Events[i].Replica = cmp.Or(sv.Events[i].Replica, sv.Deployment.Owner)
	}
	m.append(r, sv.Events, now)
	if r.runAt = sv.RunAt; sv.RunAt.IsZero() {
		r.runAt = now
	}
	if sv.Release || !d.FinishedAt.IsZero() {
		d.Owner = ""
	}
	if !d.FinishedAt.IsZero() {
		m.wakeNext(d, now)
	}
	return counters(d), nil
}

// fenced compares what the writer believes with what is stored; landed means that this very save is there already.
func (m *memory) fenced(stored, believed *rollout.Deployment) (landed bool, err error) {
	switch {
	case stored.Epoch == believed.Epoch && stored.Saves == believed.Saves+1:
		return true, nil
	case stored.Epoch != believed.Epoch, stored.Owner != believed.Owner, stored.Owner == "",
		stored.Saves != believed.Saves, stored.State.Terminal():
		return false, &problem.Error{Code: problem.CodeOwnershipLost, ID: stored.ID, Message: "it has a new owner"}
	case stored.OperatorRevision != believed.OperatorRevision:
		return false, &problem.Error{Code: problem.CodeStale, ID: stored.ID, Message: "a person changed it meanwhile"}
	case believed.Active() && m.active(stored):
		return false, &problem.Error{Code: problem.CodeConflict, ID: stored.ID, Message: "another one is active"}
	default:
		return false, nil
	}
}

func counters(d *rollout.Deployment) storage.SaveResult {
	return storage.SaveResult{Revision: d.Revision, LastSeq: d.LastSeq, Saves: d.Saves, EventsHash: d.EventsHash}
}

// write stores the part of a save that the engine may change.
func (m *memory) write(r *row, sv storage.SaveRequest) {
	d := &r.snap.Deployment
	before := d.Status
	counts := d.Counts
	d.Status = sv.Deployment.Status
	d.Counts = sv.Deployment.Counts
	for _, at := range []*time.Time{&d.DeadlineAt, &d.NextActionAt} {
		*at = at.Truncate(time.Microsecond)
	}
	if router := d.Progress.Router; router != nil {
		stored := *router
		stored.Reading = false
		d.Progress.Router = &stored
		m.remember(place{d.Service, d.Environment, ""}, storage.TargetRecord{Fence: router.Fence})
	}
	if d.Result != nil {
		if slot, ok := d.Result.Metadata["active_slot"].(string); ok {
			m.remember(place{d.Service, d.Environment, ""}, storage.TargetRecord{Version: slot})
		}
	}
	d.Saves++
	if len(sv.Events) > 0 || len(sv.Targets)+len(sv.InFlight) > 0 || before != d.Status || counts != d.Counts {
		d.Revision++
	}
	m.writeTargets(r, sv.Targets)
	r.inFlight = nil
	for _, changed := range sv.InFlight {
		t := asStored(&changed, &r.snap.Targets[r.find(changed.ID)])
		r.inFlight = append(r.inFlight, t)
		m.writeFences(&t)
	}
}

// asStored is a changed target as it is loaded again.
func asStored(changed, stored *rollout.Target) rollout.Target {
	t := changed.Clone()
	for c := range t.Checks {
		t.Checks[c].Probing = false
	}
	t.Fence = max(t.Fence, stored.Fence)
	return t
}

func (m *memory) writeTargets(r *row, targets []rollout.Target) {
	d := &r.snap.Deployment
	for _, changed := range targets {
		i := r.find(changed.ID)
		t := asStored(&changed, &r.snap.Targets[i])
		r.snap.Targets[i] = t
		if t.Attempts > 0 || t.CallsSent > 0 || t.Version != "" {
			at := place{d.Service, d.Environment, t.ID}
			m.remembered[at] = storage.TargetRecord{
				Address: t.Address, Version: t.Version, Health: t.Health, Fence: max(t.Fence, m.remembered[at].Fence),
			}
		}
		if v, ok := d.VerifiedTarget(&t); ok {
			m.verified[place{d.Service, d.Environment, t.ID}] = v
		}
		m.writeFences(&t)
	}
}

// writeFences keeps the fence of a target's call, and the work that may be running, by address.
func (m *memory) writeFences(t *rollout.Target) {
	at := rollout.CanonicalAddress(t.Address)
	if t.Call != nil {
		m.fences[at] = max(m.fences[at], t.Fence)
	}
	if work, known := t.LeftBehind(); known {
		m.work[at] = work
	}
}

// remember adds what is known of a router: what is not said stays, and its fence never falls.
func (m *memory) remember(at place, known storage.TargetRecord) {
	was := m.remembered[at]
	m.remembered[at] = storage.TargetRecord{
		Version: cmp.Or(known.Version, was.Version), Health: healthcheck.Unknown, Fence: max(known.Fence, was.Fence),
	}
}

func (m *memory) TargetRecords(_ context.Context, service, environment string) (map[string]storage.TargetRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := map[string]storage.TargetRecord{}
	for at, r := range m.remembered {
		if at.service == service && at.environment == environment && at.target != "" {
			known[at.target] = r
		}
	}
	return known, nil
}

func (m *memory) Deployment(_ context.Context, id string) (rollout.Deployment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.row(id)
	if err != nil {
		return rollout.Deployment{}, err
	}
	return r.snap.Deployment, nil
}

func (m *memory) Targets(_ context.Context, id string, _ storage.Page) (storage.List[rollout.Target], error) {
	snap, _ := m.read(id)
	return storage.List[rollout.Target]{Items: snap.Targets}, nil
}

func (m *memory) Events(_ context.Context, id string, _ storage.Page) (storage.List[rollout.Event], error) {
	_, events := m.read(id)
	return storage.List[rollout.Event]{Items: events}, nil
}

func (m *memory) OperatorRevisions(_ context.Context, replica string) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	revisions := map[string]int64{}
	for id, r := range m.rows {
		if r.snap.Deployment.Owner == replica {
			revisions[id] = r.snap.Deployment.OperatorRevision
		}
	}
	return revisions, nil
}

func (m *memory) Listen(ctx context.Context, wake func(string)) error {
	m.mu.Lock()
	m.next++
	n := m.next
	m.listeners[n] = wake
	m.mu.Unlock()
	wake("") // anything may have changed before
	<-ctx.Done()
	m.mu.Lock()
	delete(m.listeners, n)
	m.mu.Unlock()
	return nil
}
