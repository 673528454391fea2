package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"rollcall/internal/rollout"
)

// memory keeps deployments as the store does, for tests under a synthetic clock.
type memory struct {
	mu         sync.Mutex
	rows       map[string]*row
	replicas   map[string]time.Time
	remembered map[string]rollout.Remembered
	listeners  map[int]func(string)
	next       int
}

type row struct {
	snap   rollout.Snapshot
	runAt  time.Time
	events []rollout.Event
}

func newMemory() *memory {
	return &memory{
		rows: map[string]*row{}, replicas: map[string]time.Time{}, remembered: map[string]rollout.Remembered{},
		listeners: map[int]func(string){},
	}
}

func (m *memory) create(n rollout.NewDeployment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n.Deployment.Revision, n.Deployment.LastSeq, n.Deployment.CreatedAt = 1, 1, time.Now()
	m.rows[n.Deployment.ID] = &row{
		snap:   rollout.Snapshot{Deployment: n.Deployment, Targets: n.Targets},
		events: []rollout.Event{{Seq: 1, Type: rollout.EventCreated}}, runAt: time.Now(),
	}
	m.notify(n.Deployment.ID)
}

func (m *memory) read(id string) (rollout.Snapshot, []rollout.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id]
	return *r.snap.Clone(), slices.Clone(r.events)
}

// update is what a verb of the API does.
func (m *memory) update(id string, change func(d *rollout.Deployment)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id]
	if r.snap.Deployment.State.Terminal() {
		return
	}
	change(&r.snap.Deployment)
	r.snap.Deployment.Revision++
	r.snap.Deployment.OperatorRevision++
	r.runAt = time.Now()
	m.notify(id)
}

func (m *memory) notify(id string) {
	for _, f := range m.listeners {
		f(id)
	}
}

func (m *memory) Heartbeat(_ context.Context, replica string, lease time.Duration) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replicas[replica] = time.Now().Add(lease)
	return time.Now(), nil
}

func (m *memory) Leave(_ context.Context, replica string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.replicas, replica)
	for _, r := range m.rows {
		if d := &r.snap.Deployment; d.Owner == replica {
			d.Owner, r.runAt = "", time.Now()
		}
	}
	return nil
}

func (m *memory) Claim(_ context.Context, replica string, mine []string, limit int) ([]rollout.Claimed, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var claimed []rollout.Claimed
	for _, id := range slices.Sorted(maps.Keys(m.rows)) {
		r := m.rows[id]
		d := &r.snap.Deployment
		dead := d.Owner != "" && (d.Owner == replica && !slices.Contains(mine, id) || !time.Now().Before(m.replicas[d.Owner]))
		due := d.Owner == "" && !time.Now().Before(r.runAt)
		if !d.FinishedAt.IsZero() || !dead && !due || len(claimed) == limit {
			continue
		}
		from := d.Owner
		d.Owner = replica
		d.Epoch++
		if from != "" {
			d.LastSeq++
			r.events = append(r.events, rollout.Event{Seq: d.LastSeq, Type: rollout.EventTakenOver})
		}
		claimed = append(claimed, rollout.Claimed{Snapshot: *r.snap.Clone(), From: from, Late: time.Since(r.runAt)})
	}
	return claimed, time.Time{}, nil
}

func (m *memory) Save(_ context.Context, sv rollout.Save) (rollout.Saved, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[sv.Deployment.ID]
	d := &r.snap.Deployment
	switch {
	case d.Owner != sv.Deployment.Owner || d.Epoch != sv.Deployment.Epoch:
		return rollout.Saved{}, &rollout.Error{Code: rollout.CodeLost}
	case d.Saves == sv.Deployment.Saves+1:
		return rollout.Saved{Revision: d.Revision, LastSeq: d.LastSeq, Saves: d.Saves}, nil
	case d.OperatorRevision != sv.Deployment.OperatorRevision:
		return rollout.Saved{}, &rollout.Error{Code: rollout.CodeStale}
	}
	seq := d.LastSeq
	for _, e := range sv.Events {
		seq++
		e.Seq = seq
		r.events = append(r.events, e)
	}
	*d = sv.Deployment
	d.Revision++
	d.Saves++
	d.LastSeq = seq
	for _, t := range sv.Targets {
		i := slices.IndexFunc(r.snap.Targets, func(old rollout.Target) bool { return old.ID == t.ID })
		for c := range t.Checks {
			t.Checks[c].Probing = false
		}
		r.snap.Targets[i] = t
	}
	r.runAt = sv.RunAt
	answer := rollout.Saved{Revision: d.Revision, LastSeq: d.LastSeq, Saves: d.Saves}
	if sv.Release || !d.FinishedAt.IsZero() {
		d.Owner = ""
	}
	return answer, nil
}

func (m *memory) Deployment(_ context.Context, id string) (rollout.Deployment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[id].snap.Deployment, nil
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
	n := m.next
	m.next++
	m.listeners[n] = wake
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	delete(m.listeners, n)
	m.mu.Unlock()
	return nil
}
