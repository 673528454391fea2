package gitopsstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/duration"
	"rollcall/internal/gitsource"
	"rollcall/internal/keyring"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/store"
)

func defineSource(t testing.TB, s *store.Store, name string, change func(*gitsource.Source)) gitsource.Source {
	t.Helper()
	r, err := s.UpdateSource(ctx(t), name, func(present *gitsource.Source) (*gitsource.Source, error) {
		next := gitsource.Source{URL: "https://git.example.com/x", Branch: "main", Interval: duration.Duration(time.Minute)}
		if present != nil {
			next = *present
		}
		change(&next)
		return &next, nil
	})
	must(t, err)
	return r.Source
}

func unchanged(*gitsource.Source) {}

// claimSources is what a living replica claims.
func claimSources(t testing.TB, s *store.Store, replica string, mine ...string) []gitsource.Claimed {
	t.Helper()
	_, err := s.Heartbeat(ctx(t), replica, lease)
	must(t, err)
	c, err := s.ClaimSources(ctx(t), replica, mine, 10)
	must(t, err)
	return c
}

func saveOf(c *gitsource.Claimed) gitsource.Save {
	return gitsource.Save{Claim: c.Claim, Status: c.Status, Release: true, RunAt: c.Now.Add(time.Hour)}
}

func wants(path, service string) gitsource.File {
	return gitsource.File{Path: path, Want: &gitsource.DesiredState{Service: service, Environment: "production", Version: "v1", Body: []byte(`{}`)}}
}

func TestSource_OneClaimTakenOverFromDeadReplica(t *testing.T) {
	t.Parallel()
	s := open(t)
	defineSource(t, s, "main", unchanged)
	var claims atomic.Int64
	atOnce(8, func(i int) {
		claims.Add(int64(len(claimSources(t, s, string(rune('a'+i))))))
	})
	if claims.Load() != 1 {
		t.Fatalf("claimed %d times", claims.Load())
	}
	exec(t, s, `UPDATE replicas SET expires_at = clock_timestamp() - interval '1 second'`)
	if c := claimSources(t, s, "heir"); len(c) != 1 || c[0].Claim.Epoch != 2 {
		t.Errorf("the heir of a dead replica claims %+v", c)
	}
	if c := claimSources(t, s, "heir", "main"); len(c) != 0 {
		t.Errorf("claimed again what it works on: %+v", c)
	}
	if c := claimSources(t, s, "heir"); len(c) != 1 {
		t.Error("a process of the same name does not take over its predecessor's source")
	}
}

func TestSource_DeadReplicaClaimsNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	defineSource(t, s, "main", unchanged)
	if c, err := s.ClaimSources(ctx(t), "silent", nil, 10); err != nil || len(c) != 0 {
		t.Errorf("claimed %+v: %v", c, err)
	}
}

func TestSource_LostClaimWritesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	defineSource(t, s, "main", unchanged)
	c := claimSources(t, s, "frozen")[0]
	r := request("checkout", 1)
	r.Claim = &c.Claim
	create(t, s, r)
	defineSource(t, s, "main", func(next *gitsource.Source) { next.Heal = true })
	save := saveOf(&c)
	save.Status.Reason = "from before"
	wantCode(t, s.SaveSource(ctx(t), save), problem.CodeOwnershipLost)
	_, err := s.CreateDeployment(ctx(t), r)
	wantCode(t, err, problem.CodeOwnershipLost)
	report, err := s.Source(ctx(t), "main")
	must(t, err)
	if report.Status.Reason == "from before" || !report.Source.Heal {
		t.Errorf("stored %+v", report)
	}
}

func TestSource_NewURLBranchOrPathResetsIt(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := defineSource(t, s, "main", unchanged)
	c := claimSources(t, s, "a")[0]
	save := saveOf(&c)
	save.Files, save.Status.DesiredRevision, save.Status.Serial = []gitsource.File{wants("a.yaml", "a")}, "abc", 7
	must(t, s.SaveSource(ctx(t), save))
	same := defineSource(t, s, "main", func(next *gitsource.Source) { next.Interval *= 2 })
	report, err := s.Source(ctx(t), "main")
	must(t, err)
	if same.ID != first.ID || same.Revision != 2 || len(report.Files) != 1 || report.Status.Serial != 7 {
		t.Errorf("another interval makes %+v", report)
	}
	for i, change := range []func(*gitsource.Source){
		func(next *gitsource.Source) { next.Path = "deploy" },
		func(next *gitsource.Source) { next.Branch = "stable" },
		func(next *gitsource.Source) { next.URL += "y" },
	} {
		other := defineSource(t, s, "main", change)
		report, err := s.Source(ctx(t), "main")
		must(t, err)
		if other.ID == same.ID || other.Revision != int64(i+3) || len(report.Files) != 0 || report.Status.DesiredRevision != "" {
			t.Errorf("change %d keeps %+v", i, report)
		}
		same = other
	}
}

func TestSource_ServiceHasOnlyOneSource(t *testing.T) {
	t.Parallel()
	s := open(t)
	defineSource(t, s, "one", unchanged)
	defineSource(t, s, "two", unchanged)
	claimed := claimSources(t, s, "a")
	first, second := saveOf(&claimed[0]), saveOf(&claimed[1])
	first.Files, second.Files = []gitsource.File{wants("a.yaml", "a")}, []gitsource.File{wants("b.yaml", "a")}
	must(t, s.SaveSource(ctx(t), first))
	wantCode(t, s.SaveSource(ctx(t), second), problem.CodeConflict)
	taken, err := s.ManagedElsewhere(ctx(t), claimed[1].Source.Name)
	must(t, err)
	if len(taken) != 1 || taken["a/production"] != claimed[0].Source.Name {
		t.Errorf("taken: %v", taken)
	}
}

func TestSource_RequestDuringSyncRunsNext(t *testing.T) {
	t.Parallel()
	s := open(t)
	defineSource(t, s, "main", unchanged)
	must(t, s.RequestSync(ctx(t), "main", gitsource.SyncRequest{}))
	c := claimSources(t, s, "a")[0]
	if len(c.Requests) != 1 {
		t.Fatalf("asks %+v", c.Requests)
	}
	must(t, s.RequestSync(ctx(t), "main", gitsource.SyncRequest{Retry: true, Service: "checkout"}))
	save := saveOf(&c)
	save.AckedRequests = c.Requests[0].ID
	must(t, s.SaveSource(ctx(t), save))
	again := claimSources(t, s, "b")
	if len(again) != 1 || len(again[0].Requests) != 1 || !again[0].Requests[0].Retry || again[0].Requests[0].Service != "checkout" {
		t.Fatalf("heard next: %+v", again)
	}
	save = saveOf(&again[0])
	save.AckedRequests = again[0].Requests[0].ID
	must(t, s.SaveSource(ctx(t), save))
	if c := claimSources(t, s, "b"); len(c) != 0 {
		t.Errorf("claimed although no sync was requested and it is not due: %+v", c)
	}
	wantCode(t, s.RequestSync(ctx(t), "none", gitsource.SyncRequest{}), problem.CodeNotFound)
}

func TestSource_RemovalKeepsDeployments(t *testing.T) {
	t.Parallel()
	s := open(t)
	defineSource(t, s, "main", unchanged)
	c := claimSources(t, s, "a")[0]
	r := request("checkout", 1)
	r.Claim = &c.Claim
	made := create(t, s, r)
	save := saveOf(&c)
	save.Files = []gitsource.File{wants("a.yaml", "a")}
	must(t, s.SaveSource(ctx(t), save))
	must(t, s.RequestSync(ctx(t), "main", gitsource.SyncRequest{}))
	if fresh, err := s.RecordPush(ctx(t), gitsource.Push{Source: "main", Digest: [32]byte{1}}); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	_, err := s.UpdateSource(ctx(t), "main", func(*gitsource.Source) (*gitsource.Source, error) { return nil, nil })
	must(t, err)
	_, err = s.Source(ctx(t), "main")
	wantCode(t, err, problem.CodeNotFound)
	if d := stored(t, s, made.ID); d.State != rollout.StatePending {
		t.Errorf("its deployment is %s", d.State)
	}
}

func TestRotation_ReencryptsSourceSecrets(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	older, newer := keyring.NewKey(time.Now()), keyring.NewKey(time.Now())
	with := func(keys ...keyring.Key) *store.Store {
		t.Helper()
		box, err := keyring.New(keys[0], keys[1:]...)
		must(t, err)
		s, err := store.Open(t.Context(), url, store.SealedBy(box))
		must(t, err)
		t.Cleanup(s.Close)
		return s
	}
	defineSource(t, with(older), "main", func(next *gitsource.Source) { next.Secrets.Token = "geheim" })
	if n, err := administer(with(newer, older)).RotateKeys(ctx(t)); err != nil || n != 1 {
		t.Fatalf("%d rows sealed again: %v", n, err)
	}
	report, err := with(newer).Source(ctx(t), "main")
	must(t, err)
	if report.Source.Secrets.Token.Reveal() != "geheim" || report.Source.Secrets.Unreadable != "" {
		t.Errorf("with the new key: %+v", report.Source.Secrets)
	}
	if administer(with(older)).CheckKeys(ctx(t)) == nil {
		t.Error("a server without the new key would start")
	}
}

// A rotation takes a while, and people continue to work.
func TestRotation_SkipsConcurrentlyRemovedSource(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	older, newer := keyring.NewKey(time.Now()), keyring.NewKey(time.Now())
	s := keyed(t, url, newer, older)
	for _, name := range []string{"first", "second"} {
		defineSource(t, keyed(t, url, older), name, func(next *gitsource.Source) { next.Secrets.Token = "geheim" })
	}
	removal := begin(t, s)
	_, err := removal.Exec(ctx(t), `DELETE FROM gitops_sources WHERE name = 'first'`)
	must(t, err)
	rotated := make(chan error, 1)
	go func() {
		n, err := administer(s).RotateKeys(ctx(t))
		if err == nil && n != 1 {
			err = fmt.Errorf("%d rows sealed again", n)
		}
		rotated <- err
	}()
	waits := func() bool {
		var waiting bool
		must(t, s.Pool().QueryRow(ctx(t), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting))
		return waiting
	}
	for !waits() {
		if len(rotated) > 0 {
			break
		}
	}
	must(t, removal.Commit(ctx(t)))
	must(t, <-rotated)
}
