package statstore_test

import (
	"slices"
	"testing"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/dbtest/teststore"
	"rollcall/internal/dora"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
	"rollcall/internal/store/statstore"
)

// past is what a deployment was; times are in minutes after noon of a day long ago.
type past struct {
	service, version, kind, state string
	asked, turned, ended          int
	committed                     string
	undoes                        string
	untouched                     bool
}

var noon = teststore.Noon

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

// lived through: a deployment that goes through the store, and whose times are put into the past then.
func livedThrough(t *testing.T, s *store.Store, p past) string {
	t.Helper()
	r := request(p.service, 2)
	r.Deployment.Version, r.Deployment.RollbackOf = p.version, p.undoes
	if p.kind != "" {
		r.Deployment.Kind = rollout.Kind(p.kind)
	}
	if p.committed != "" {
		r.Deployment.Labels = map[string]string{rollout.LabelCommitTime: p.committed}
	}
	createDeployment(t, s, r)
	snap := claimOne(t, s, "r1")
	d := &snap.Deployment
	d.State, d.StartedAt = rollout.StateInProgress, d.CreatedAt
	events := []rollout.Event{{Type: rollout.EventStarted}}
	if p.turned > 0 {
		events = append(events, rollout.Event{Type: rollout.EventRollbackStarted})
	}
	save(t, s, snap, storage.SaveRequest{Events: events})
	if !p.untouched {
		d.Counts.Updated = 1
	}
	finish(t, s, snap, rollout.State(p.state))
	if p.kind == string(rollout.KindRollback) {
		exec(t, s, `UPDATE deployments SET result = result || '{"success": true}' WHERE id = $1`, d.ID)
	}
	exec(t, s, `UPDATE deployments SET created_at = $2, started_at = $2, finished_at = $3 WHERE id = $1`, d.ID, minute(p.asked), minute(p.ended))
	exec(t, s, `UPDATE deployment_events SET at = $2 WHERE deployment_id = $1 AND type = 'deployment.rollback_started'`, d.ID, minute(p.turned))
	return d.ID
}

func doraReport(t *testing.T, s *store.Store, scopes authz.Scopes, sel dora.Query) (dora.Metrics, []dora.Metrics) {
	t.Helper()
	if sel.Until.IsZero() {
		sel.Since, sel.Until = noon, noon.AddDate(0, 0, 1)
	}
	d, err := s.DORAReport(ctx(t), scopes, sel)
	must(t, err)
	return d.Total, d.ByService
}

func TestDora_OfNothingIsNothing(t *testing.T) {
	t.Parallel()
	if sum, each := doraReport(t, open(t), authz.Everywhere(), dora.Query{}); sum != (dora.Metrics{}) || len(each) != 0 {
		t.Errorf("%+v %+v", sum, each)
	}
}

// Each case is a history of one service, and what becomes of it.
func TestDora_ClassifiesChangesByOutcome(t *testing.T) {
	t.Parallel()
	const ok, bad, back = "completed", "failed", "rolled_back"
	once := func(d time.Duration) dora.Percentiles { return dora.Percentiles{Count: 1, P50: d, P95: d} }
	for name, c := range map[string]struct {
		history []past
		want    dora.Metrics
	}{
		"one that completed": {
			[]past{{version: "v1", state: ok, asked: 1, ended: 5}},
			dora.Metrics{Changes: 1, Succeeded: 1},
		},
		"the lead time is from the commit to the end": {
			[]past{{version: "v1", state: ok, asked: 1, ended: 5, committed: "2026-03-02T11:35:00Z"}},
			dora.Metrics{Changes: 1, Succeeded: 1, Lead: once(30 * time.Minute)},
		},
		"a version arrives once, however often it is deployed": {
			[]past{
				{version: "v1", state: ok, asked: 1, ended: 5, committed: "2026-03-02T11:35:00Z"},
				{version: "v1", state: ok, asked: 61, ended: 65, committed: "2026-03-02T11:35:00Z"},
			},
			dora.Metrics{Changes: 2, Succeeded: 2, Lead: once(30 * time.Minute)},
		},
		"a commit of the future leads nowhere": {
			[]past{{version: "v1", state: ok, asked: 1, ended: 5, committed: "2026-03-02T13:00:00Z"}},
			dora.Metrics{Changes: 1, Succeeded: 1},
		},
		"what failed has no lead time and is not recovered by itself": {
			[]past{{version: "v1", state: bad, asked: 1, ended: 5, committed: "2026-03-02T11:35:00Z"}},
			dora.Metrics{Changes: 1, Failed: 1, Unrecovered: 1},
		},
		"the next success recovers what failed": {
			[]past{{version: "v1", state: bad, asked: 1, ended: 5}, {version: "v2", state: ok, asked: 10, ended: 25}},
			dora.Metrics{Changes: 2, Succeeded: 1, Failed: 1, Recovery: once(20 * time.Minute)},
		},
		"a success before it does not": {
			[]past{{version: "v0", state: ok, asked: 1, ended: 2}, {version: "v1", state: bad, asked: 3, ended: 5}},
			dora.Metrics{Changes: 2, Succeeded: 1, Failed: 1, Unrecovered: 1},
		},
		"nor does that of another service": {
			[]past{{version: "v1", state: bad, asked: 1, ended: 5}, {service: "other", version: "v2", state: ok, asked: 10, ended: 25}},
			dora.Metrics{Changes: 1, Failed: 1, Unrecovered: 1},
		},
		"one that turned back recovers from that moment to its end": {
			[]past{{version: "v1", state: back, asked: 1, turned: 3, ended: 10}},
			dora.Metrics{Changes: 1, Failed: 1, Recovery: once(7 * time.Minute)},
		},
		"one whose way back failed too recovers with the next success": {
			[]past{{version: "v1", state: bad, asked: 1, turned: 3, ended: 10}, {version: "v2", state: ok, asked: 11, ended: 13}},
			dora.Metrics{Changes: 2, Succeeded: 1, Failed: 1, Recovery: once(10 * time.Minute)},
		},
		"one that was stopped by a person has failed": {
			[]past{{version: "v1", state: "aborted", asked: 1, ended: 10}},
			dora.Metrics{Changes: 1, Failed: 1, Unrecovered: 1},
		},
		"one that touched nothing is no change": {
			[]past{{version: "v1", state: bad, asked: 1, ended: 5, untouched: true}},
			dora.Metrics{},
		},
		"neither is one before the time, nor one at its end": {
			[]past{{version: "v1", state: ok, asked: -5, ended: -1}, {version: "v1", state: ok, asked: 1, ended: 24 * 60}},
			dora.Metrics{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			for _, p := range c.history {
				if p.service == "" {
					p.service = "checkout"
				}
				livedThrough(t, s, p)
			}
			got, _ := doraReport(t, s, authz.Everywhere(), dora.Query{Service: "checkout", Since: noon, Until: noon.AddDate(0, 0, 1)})
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestDora_RolledBackChangeIsFailed(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := livedThrough(t, s, past{service: "checkout", version: "v1", state: "completed", asked: 1, ended: 5})
	livedThrough(t, s, past{service: "checkout", version: "v0", kind: "rollback", state: "rolled_back", asked: 60, ended: 75, undoes: id})
	want := dora.Metrics{Changes: 1, Succeeded: 1, Failed: 1, Recovery: dora.Percentiles{Count: 1, P50: 15 * time.Minute, P95: 15 * time.Minute}}
	if got, _ := doraReport(t, s, authz.Everywhere(), dora.Query{}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestDora_IsPerServiceWithinScopes(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i, service := range []string{"a", "b", "b"} {
		livedThrough(t, s, past{service: service, version: "v1", state: "completed", asked: i, ended: 10 + i})
	}
	for _, c := range []struct {
		scopes authz.Scopes
		sel    dora.Query
		sum    int
		first  string
		each   int
	}{
		{authz.Everywhere(), dora.Query{}, 3, "b", 2},
		{authz.Scopes{{Service: "a", Environment: authz.Any}}, dora.Query{}, 1, "a", 1},
		{nil, dora.Query{}, 0, "", 0},
		{authz.Everywhere(), dora.Query{Environment: "staging"}, 0, "", 0},
		{authz.Everywhere(), dora.Query{Service: "a"}, 1, "a", 1},
	} {
		c.sel.Since, c.sel.Until = noon, noon.AddDate(0, 0, 1)
		sum, each := doraReport(t, s, c.scopes, c.sel)
		if sum.Changes != c.sum || len(each) != c.each || len(each) > 0 && each[0].Service != c.first {
			t.Errorf("%v, %+v: %+v %+v", c.scopes, c.sel, sum, each)
		}
	}
}

func TestDora_PeriodsAreInOrder(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, p := range []past{
		{state: "completed", ended: 0}, {state: "failed", ended: 59}, {state: "completed", ended: 60}, {state: "completed", ended: 179},
	} {
		p.service, p.version = "checkout", "v1"
		livedThrough(t, s, p)
	}
	got, err := s.DORAReport(ctx(t), authz.Everywhere(), dora.Query{Since: noon, Until: minute(180), Buckets: 3})
	must(t, err)
	type part struct{ changes, failed int }
	parts := make([]part, len(got.Buckets))
	for i, p := range got.Buckets {
		parts[i] = part{p.Changes, p.Failed}
	}
	if want := []part{{2, 1}, {1, 0}, {1, 0}}; !slices.Equal(parts, want) || got.Total.Changes != 4 || len(got.ByService) != 1 {
		t.Errorf("%+v of %+v and %+v", parts, got.Total, got.ByService)
	}
}

func TestDora_MoreThanCanBeJudgedAtOnceIsReadFromDays(t *testing.T) {
	t.Parallel()
	s := open(t)
	manyEnded(t, s, "big", statstore.MaxJudged)
	manyEnded(t, s, "small", 1)
	day := dora.Query{Since: noon, Until: noon.AddDate(0, 0, 1)}
	_, err := s.DORAReport(ctx(t), authz.Everywhere(), day)
	wantCode(t, err, problem.CodeUnavailable)
	short := dora.Query{Since: noon, Until: minute(1)}
	if sum, _ := doraReport(t, s, authz.Everywhere(), short); sum.Changes != 61 {
		t.Errorf("a minute: %+v", sum)
	}
	refreshed(t, s)
	for service, want := range map[string]int{"": statstore.MaxJudged + 1, "big": statstore.MaxJudged, "small": 1} {
		day.Service = service
		if sum, _ := doraReport(t, s, authz.Everywhere(), day); sum.Changes != want {
			t.Errorf("%q: %+v", service, sum)
		}
	}
	if sum, _ := doraReport(t, s, authz.Scopes{{Service: "small", Environment: authz.Any}}, dora.Query{Since: day.Since, Until: day.Until}); sum.Changes != 1 {
		t.Errorf("within scopes: %+v", sum)
	}
	if sum, _ := doraReport(t, s, authz.Everywhere(), short); sum.Changes != 61 {
		t.Errorf("a minute of days that are read: %+v", sum)
	}
}
