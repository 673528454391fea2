package syncer

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/authz"
	"rollcall/internal/dbtest"
	"rollcall/internal/duration"
	"rollcall/internal/gitops"
	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitops/mirror"
	"rollcall/internal/gitsource"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// silentTarget is a target that does not report what it runs, and a recorder that counts nothing.
type silentTarget struct{}

func (silentTarget) Probe(context.Context, healthcheck.Check, string, *rollout.TLS) healthcheck.ProbeResult {
	return healthcheck.ProbeResult{}
}
func (silentTarget) SyncDone(string, time.Duration, bool) {}

// newSyncer returns a syncer of a repository, with a database of its own; it does not run: tests take the steps.
func newSyncer(t *testing.T, r *gittest.Repo) (*Syncer, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	deployer, err := api.NewDeployer(api.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	mirrors, err := mirror.New(mirror.Config{Folder: t.TempDir(), Resolver: gittest.Anywhere{}})
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{
		Replica: "a", Mirrors: mirrors, Store: s, Deployments: s, Deployer: deployer, Prober: silentTarget{},
		Recorder: silentTarget{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Share: func() float64 { return 0.5 },
	})
	_, err = s.UpdateSource(t.Context(), "main", func(*gitsource.Source) (*gitsource.Source, error) {
		source := r.Source()
		source.Interval = duration.Duration(time.Hour)
		return source, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

// claimSource claims the only source for a live replica.
func claimSource(t *testing.T, s *store.Store, replica string) *gitsource.Claimed {
	t.Helper()
	if _, err := s.Heartbeat(t.Context(), replica, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.RequestSync(t.Context(), "main", gitsource.SyncRequest{}); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.ClaimSources(t.Context(), replica, nil, 1)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d sources: %v", len(claimed), err)
	}
	return &claimed[0]
}

func listDeployments(t *testing.T, s *store.Store) []rollout.Deployment {
	t.Helper()
	list, err := s.Deployments(t.Context(), authz.Everywhere(), storage.Filter{}, storage.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

const checkout = "service: checkout\nversion: v1\ntargets: [{id: web-1, address: \"http://10.0.0.1\"}]\n"

// A replica dies after it has made the deployment and before it could store that: the next owner finds it.
func TestAttempt_PlannedBecomesOneDeployment(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	commit := r.Commit("begin", map[string]string{"a.yaml": checkout})
	l, s := newSyncer(t, r)
	first := newSyncRun(l, claimSource(t, s, "a"))
	if err := first.readBranch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.saveProgress(t.Context(), false); err != nil { // planned, and no more
		t.Fatal(err)
	}
	if _, err := l.Deployer.Deploy(t.Context(), first.files[0].Want.Body, &first.claimed.Source, first.claimed.Claim, "checkout/production@"+commit+"#1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool().Exec(t.Context(), `UPDATE replicas SET expires_at = clock_timestamp() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	if err := newSyncRun(l, claimSource(t, s, "heir")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := s.Source(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	made := listDeployments(t, s)
	if len(made) != 1 || report.Files[0].Attempt.DeploymentID != made[0].ID || report.Files[0].Attempt.State != gitsource.AttemptRunning {
		t.Errorf("%d deployments, and the attempt is %+v", len(made), report.Files[0].Attempt)
	}
}

// A replica freezes with a planned attempt, another one deploys a newer commit, and the frozen one wakes.
func TestReplica_ThawedDeploysNoOlderCommit(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("begin", map[string]string{"a.yaml": checkout})
	l, s := newSyncer(t, r)
	frozen := newSyncRun(l, claimSource(t, s, "a"))
	if err := frozen.readBranch(t.Context()); err != nil {
		t.Fatal(err)
	}
	newer := r.Commit("newer", map[string]string{"a.yaml": checkout + "force: true\n"})
	if _, err := s.Pool().Exec(t.Context(), `UPDATE replicas SET expires_at = clock_timestamp() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	if err := newSyncRun(l, claimSource(t, s, "heir")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := frozen.deployPlanned(t.Context()); problem.CodeOf(err) != problem.CodeOwnershipLost {
		t.Errorf("the frozen replica's deployment: %v", err)
	}
	if made := listDeployments(t, s); len(made) != 1 || made[0].Labels["commit"] != newer {
		t.Errorf("deployments %+v", made)
	}
}

func TestAttempt_DeploymentHasCommitTime(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	commit := r.Commit("v1", map[string]string{"a.yaml": checkout})
	l, s := newSyncer(t, r)
	if err := newSyncRun(l, claimSource(t, s, "a")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := time.Parse(time.RFC3339, r.Run(nil, "log", "-1", "--format=%cI", commit))
	if err != nil {
		t.Fatal(err)
	}
	made := listDeployments(t, s)
	if len(made) != 1 || !made[0].CommittedAt().Equal(want) {
		t.Errorf("committed at %v: %+v", want, made)
	}
}

func TestBranch_ResetDeploysOlderCommitAgain(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	first := r.Commit("v1", map[string]string{"a.yaml": checkout})
	l, s := newSyncer(t, r)
	step := func() {
		if err := newSyncRun(l, claimSource(t, s, "a")).run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step()
	r.Commit("v2", map[string]string{"a.yaml": checkout + "force: true\n"})
	step()
	r.Run(nil, "update-ref", "refs/heads/main", first)
	step()
	step()
	made := listDeployments(t, s)
	if len(made) != 3 || made[0].Labels["commit"] != first || made[2].Labels["commit"] != first {
		t.Errorf("%d deployments", len(made))
	}
	report, err := s.Source(t.Context(), "main")
	if err != nil || report.Status.Rewrite == nil || report.Status.Rewrite.To != first {
		t.Errorf("the rewrite is %+v: %v", report.Status.Rewrite, err)
	}
}

func TestFile_SecretIsRefusedByLineNotRepeated(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("begin", map[string]string{"a.yaml": checkout + "deploy:\n  secret: whsec_geheim\n"})
	l, s := newSyncer(t, r)
	if err := newSyncRun(l, claimSource(t, s, "a")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := s.Source(t.Context(), "main")
	if err != nil || len(report.Files[0].Problems) != 1 {
		t.Fatalf("%+v: %v", report.Files, err)
	}
	if p := report.Files[0].Problems[0]; p.Line != 5 || p.Pointer != "/deploy/secret" {
		t.Errorf("the problem is %+v", p)
	}
	var rows int
	if err := s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM gitops_files WHERE record::text LIKE '%geheim%'`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows show the secret: %v", rows, err)
	}
}

// slowDeployments reports only after a while that a deployment has not ended.
type slowDeployments struct {
	Deployments
	until time.Time
}

func (s slowDeployments) HasUnfinished(context.Context, string, string) (bool, error) {
	<-time.After(time.Until(s.until))
	return true, nil
}

// While the store is queried for unfinished deployments, another file may become due for healing.
func TestHeal_SkipsServicesNotKnownIdle(t *testing.T) {
	t.Parallel()
	began := time.Now()
	drifted := func(service string, healAt time.Time) gitsource.File {
		return gitsource.File{
			Path: service, Want: &gitsource.DesiredState{Service: service, Environment: "production"}, HealAt: healAt,
			Attempt: &gitsource.Attempt{State: gitsource.AttemptDone}, Targets: []gitsource.Drift{{Target: "t", Wanted: "v2", Actual: "v1"}},
		}
	}
	soon := began.Add(time.Second)
	s := newSyncRun(&Syncer{Config: Config{Deployments: slowDeployments{until: soon}}}, &gitsource.Claimed{Now: began})
	s.claimed.Source.Heal, s.startedAt = true, began
	s.files = []gitsource.File{drifted("checkout", soon), drifted("search", began)}
	chosen, err := s.selectForHealing(t.Context())
	if err != nil || chosen != nil {
		t.Errorf("%+v is healed: %v", chosen, err)
	}
}

// A person's deployment takes precedence over healing.
func TestHeal_SupersedesNothing(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("begin", map[string]string{"a.yaml": checkout})
	l, s := newSyncer(t, r)
	if err := newSyncRun(l, claimSource(t, s, "a")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool().Exec(t.Context(), `UPDATE deployments SET state = 'completed', started_at = now(), finished_at = now()`); err != nil {
		t.Fatal(err)
	}
	healing := newSyncRun(l, claimSource(t, s, "a"))
	healing.status.Serial++
	gitops.PlanAttempt(&healing.files[0], gitsource.AttemptHeal, healing.status.Serial)
	// Once it is stored, a person deploys.
	n, err := l.Deployer.Check(t.Context(), healing.files[0].Want.Body)
	if err != nil {
		t.Fatal(err)
	}
	n.Deployment.Version = "v2"
	persons, err := s.CreateDeployment(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if err := healing.deployPlanned(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := s.Deployment(t.Context(), persons.Deployment.ID)
	if err != nil || d.State != rollout.StatePending {
		t.Errorf("the person's deployment is %s: %s %v", d.State, d.Reason, err)
	}
	if a := healing.files[0].Attempt; a.State != gitsource.AttemptFailed || !gitops.CanHeal(&gitsource.File{
		Want: healing.files[0].Want, Attempt: a, Targets: []gitsource.Drift{{Wanted: "v1", Actual: "v0"}},
	}, time.Now()) {
		t.Errorf("the attempt is %+v", a)
	}
}

func TestTip_UnchangedBranchIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("one", map[string]string{"a.yaml": checkout})
	l, s := newSyncer(t, r)
	if err := newSyncRun(l, claimSource(t, s, "a")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := s.Source(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	mirror := filepath.Join(l.Mirrors.Folder, report.Source.ID+".git")
	if err := os.RemoveAll(mirror); err != nil {
		t.Fatal(err)
	}
	polled := newSyncRun(l, claimSource(t, s, "a"))
	polled.claimed.Requests = nil
	polled.status.NextSyncAt = time.Time{}
	if err := polled.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mirror); !errors.Is(err, os.ErrNotExist) || polled.status.Error != "" {
		t.Errorf("the mirror is %v, and the error %q", err, polled.status.Error)
	}
}

func TestSync_SHA256RepositoryIsFollowed(t *testing.T) {
	t.Parallel()
	r := gittest.Init(t, filepath.Join(t.TempDir(), "repo"), "--object-format=sha256")
	want := r.Commit("one", map[string]string{"a.yaml": checkout})
	if report := syncRepo(t, r); report.Status.DesiredRevision != want || len(report.Files) != 1 || report.Files[0].Want.Commit.SHA != want {
		t.Errorf("the source is at %q: %+v", report.Status.DesiredRevision, report.Files)
	}
}
