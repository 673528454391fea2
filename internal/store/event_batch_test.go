package store_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"rollcall/internal/audit"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// batchOf are events of one save: about the deployment, then about targets, one of them with a call.
func batchOf(d *rollout.Deployment, n int) []rollout.Event {
	at := d.CreatedAt.Add(time.Second + 123_456_789*time.Nanosecond)
	events := []rollout.Event{{At: at, Type: rollout.EventWaveStarted, Wave: 1, Message: "targets"}}
	for i := range n {
		e := rollout.Event{At: at.Add(time.Duration(i) * time.Millisecond), Type: rollout.EventTargetIntent, Target: "web", Wave: 1, From: "pending", To: "deploying"}
		switch i % 3 {
		case 1:
			e.Call = &rollout.Call{WebhookID: "msg_1", Action: "deploy", Version: "v2", Attempt: 1, Fence: 7, Deadline: at.UTC()}
		case 2:
			e.Wave, e.Actor, e.Message = 2, "token:ci", "\x7f \"<quoted>\" \u2028"
		}
		events = append(events, e)
	}
	return append(events, rollout.Event{At: at, Type: rollout.EventWaveFinished, Wave: 1})
}

// saveBatch saves the events, and returns the deployment as it is then.
func saveBatch(t *testing.T, s *store.Store, d rollout.Deployment, n int) rollout.Deployment {
	t.Helper()
	saved, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: d, Events: batchOf(&d, n), RunAt: d.CreatedAt.Add(time.Hour)})
	must(t, err)
	d.Revision, d.LastSeq, d.Saves, d.EventsHash = saved.Revision, saved.LastSeq, saved.Saves, saved.EventsHash
	return d
}

// rowSizes returns how many events each row of a deployment's log holds.
func rowSizes(t *testing.T, s *store.Store, id string) (sizes []int) {
	t.Helper()
	must(t, s.Pool().QueryRow(ctx(t), `SELECT array_agg(size ORDER BY seq) FROM deployment_events WHERE deployment_id = $1`, id).Scan(&sizes))
	return sizes
}

// inBatches opens a store that may put events of a save into one row, with a deployment that is claimed.
func inBatches(t *testing.T) (*store.Store, rollout.Deployment) {
	t.Helper()
	s := open(t)
	_, err := s.Heartbeat(ctx(t), "a", lease)
	must(t, err)
	createDeployment(t, s, request("checkout", 1))
	return s, claimOne(t, s, "a").Deployment
}

func TestEventBatch_TargetEventsOfASaveShareARow(t *testing.T) {
	t.Parallel()
	s, d := inBatches(t)
	d = saveBatch(t, s, d, 2500)
	sizes := rowSizes(t, s, d.ID)
	if want := []int{1, 1024, 1024, 452, 1}; !slices.Equal(sizes[len(sizes)-5:], want) {
		t.Errorf("rows of %v events, want %v at the end", sizes, want)
	}
}

// What was written into one row reads as if each event had a row, from any place to any other.
func TestEventBatch_ReadsAsSingleEvents(t *testing.T) {
	t.Parallel()
	s, d := inBatches(t)
	first := d.LastSeq
	for range 3 {
		d = saveBatch(t, s, d, 7)
	}
	all, err := s.DeploymentEvents(ctx(t), d.ID, 0, math.MaxInt64, 1000)
	must(t, err)
	if int64(len(all)) != d.LastSeq || d.LastSeq != first+27 {
		t.Fatalf("%d events, last number %d", len(all), d.LastSeq)
	}
	wanted := batchOf(&d, 7)
	for i, e := range all[first:] {
		want := wanted[i%len(wanted)]
		if e.Type != want.Type || e.Target != want.Target || e.Message != want.Message || e.Wave != want.Wave || (e.Call == nil) != (want.Call == nil) ||
			e.At.UnixMicro() != want.At.UnixMicro() || e.Service != "checkout" {
			t.Errorf("event %d: %+v, want %+v", e.Seq, e, want)
		}
		if e.Seq != first+int64(i)+1 || e.ID <= all[first+int64(i)-1].ID {
			t.Errorf("event %d has number %d and id %d, after %d", i, e.Seq, e.ID, all[first+int64(i)-1].ID)
		}
	}
	if report := audit.VerifyChain(all, d.EventsHash); len(report.Violations) > 0 || report.Chained != len(all) {
		t.Errorf("%+v", report)
	}
	for from := range all {
		for to := from; to < len(all); to++ {
			for _, limit := range []int{1, 5, 1000} {
				want := all[from+1 : min(to+1, from+1+limit)]
				got, err := s.DeploymentEvents(ctx(t), d.ID, all[from].Seq, all[to].Seq, limit)
				must(t, err)
				if !slices.Equal(eventIDs(got), eventIDs(want)) {
					t.Fatalf("events %d to %d, limit %d: %v, want %v", from, to, limit, eventIDs(got), eventIDs(want))
				}
				got, err = s.AllEvents(ctx(t), all[from].ID, all[to].ID, limit)
				must(t, err)
				if !slices.Equal(eventIDs(got), eventIDs(want)) {
					t.Fatalf("all events %d to %d, limit %d: %v, want %v", from, to, limit, eventIDs(got), eventIDs(want))
				}
			}
		}
	}
	page, err := s.Events(ctx(t), d.ID, storage.Page{Limit: 4})
	must(t, err)
	next, err := s.Events(ctx(t), d.ID, storage.Page{Limit: 1000, Cursor: page.NextCursor})
	must(t, err)
	if got := slices.Concat(page.Items, next.Items); !slices.Equal(eventIDs(got), eventIDs(all)) {
		t.Errorf("pages of %v", eventIDs(got))
	}
}

func TestEventBatch_EachEventIsFoundByItsID(t *testing.T) {
	t.Parallel()
	s, d := inBatches(t)
	d = saveBatch(t, s, saveBatch(t, s, d, 5), 4)
	all, err := s.DeploymentEvents(ctx(t), d.ID, 0, math.MaxInt64, 1000)
	must(t, err)
	for i := range all {
		has, err := s.HasEvent(ctx(t), all[i].ID)
		must(t, err)
		seq, err := s.SeqForEventID(ctx(t), d.ID, all[i].ID)
		must(t, err)
		other := all[i].Mark()
		other.Hash[0]++
		common, err := s.LastCommon(ctx(t), []rollout.EventMark{all[0].Mark(), all[i].Mark(), {ID: all[i].ID + 1, DeploymentID: d.ID, Seq: all[i].Seq + 1}})
		must(t, err)
		changed, err := s.LastCommon(ctx(t), []rollout.EventMark{other})
		must(t, err)
		if !has || seq != all[i].Seq || common != all[i].ID || changed != 0 {
			t.Errorf("event %d: found %t as %d, common %d, changed %d", all[i].Seq, has, seq, common, changed)
		}
		between := all[i].ID - 1
		if i > 0 && all[i-1].ID == between {
			continue
		}
		if has, err = s.HasEvent(ctx(t), between); err != nil || has {
			t.Errorf("id %d was never given: %t, %v", between, has, err)
		}
	}
}

// Rows follow each other by maxBatch ids, so none can be missing between them.
func TestEventBatch_FeedReadsOnWithoutDoubt(t *testing.T) {
	t.Parallel()
	s, d := inBatches(t)
	newest, err := s.LatestEventID(ctx(t))
	must(t, err)
	saveBatch(t, s, saveBatch(t, s, d, 5), 3)
	all, err := s.AllEvents(ctx(t), newest, math.MaxInt64, 1000)
	must(t, err)
	for limit := 1; limit <= len(all)+1; limit++ {
		var got []rollout.Event
		for tail := (storage.EventCursor{After: newest}); len(got) < len(all); {
			events, next, err := s.EventsAfter(ctx(t), tail, limit)
			must(t, err)
			if next.GapEnd != 0 || len(events) == 0 || len(events) > limit {
				t.Fatalf("limit %d, after %d events: %d more, doubt up to %d", limit, len(got), len(events), next.GapEnd)
			}
			got, tail = append(got, events...), next
		}
		if !slices.Equal(eventIDs(got), eventIDs(all)) {
			t.Fatalf("limit %d: %v, want %v", limit, eventIDs(got), eventIDs(all))
		}
	}
}

// A change to any event of a row is found, as is one that is taken out or put elsewhere.
func TestEventBatch_VerificationSeesIntoRows(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"changed": `UPDATE deployment_events SET earlier = jsonb_set(earlier::jsonb, '{1,message}', '"all is well"')::json WHERE size > 1`,
		"removed": `UPDATE deployment_events SET earlier = (earlier::jsonb - 1)::json WHERE size > 1`,
		"swapped": `UPDATE deployment_events SET earlier = jsonb_build_array(earlier->1, earlier->0, earlier->2)::json WHERE size > 1`,
		"no hash": `UPDATE deployment_events SET earlier = (earlier::jsonb #- '{1,hash}')::json WHERE size > 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, d := inBatches(t)
			d = saveBatch(t, s, d, 4)
			exec(t, s, change)
			all, err := s.DeploymentEvents(ctx(t), d.ID, 0, math.MaxInt64, 1000)
			must(t, err)
			if report := audit.VerifyChain(all, d.EventsHash); len(report.Violations) == 0 {
				t.Errorf("not seen in %+v", all)
			}
		})
	}
}

// A server of the version before reads a row as one event.
func TestEventBatch_OlderReplicaGetsSingleRows(t *testing.T) {
	t.Parallel()
	s, d := inBatches(t)
	exec(t, s, `INSERT INTO replicas (id, started_at, renewed_at, expires_at) VALUES ('older', now(), now(), now() + interval '1 minute')`)
	_, err := s.Heartbeat(ctx(t), "a", lease)
	must(t, err)
	d = saveBatch(t, s, d, 6)
	if sizes := rowSizes(t, s, d.ID); slices.Max(sizes) != 1 {
		t.Errorf("rows of %v events beside an older replica", sizes)
	}
	exec(t, s, `UPDATE replicas SET expires_at = now() - interval '1 second' WHERE id = 'older'`)
	_, err = s.Heartbeat(ctx(t), "a", lease)
	must(t, err)
	d = saveBatch(t, s, d, 6)
	if sizes := rowSizes(t, s, d.ID); slices.Max(sizes) != 6 {
		t.Errorf("rows of %v events after its end", sizes)
	}
}
