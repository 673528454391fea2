package syncer

import (
	"context"
	"strings"
	"testing"
	"time"

	"rollcall/internal/gitops"
	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

const rejecting = checkout + "on_conflict: reject\n"

// scene is a source, its repository and its database, whose steps a test takes itself.
type scene struct {
	t *testing.T
	r *gittest.Repo
	l *Syncer
	s *store.Store
}

func newScene(t *testing.T, files map[string]string) *scene {
	t.Helper()
	r := gittest.New(t)
	r.Commit("begin", files)
	l, s := newSyncer(t, r)
	return &scene{t: t, r: r, l: l, s: s}
}

// sync syncs the source once, and returns its report.
func (c *scene) sync() gitsource.Report {
	c.t.Helper()
	if err := newSyncRun(c.l, claimSource(c.t, c.s, "a")).run(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	report, err := c.s.Source(c.t.Context(), "main")
	if err != nil {
		c.t.Fatal(err)
	}
	return report
}

// syncUntil takes steps until the source is as it should be.
func (c *scene) syncUntil(what string, is func(*gitsource.Report) bool) gitsource.Report {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		report := c.sync()
		if is(&report) {
			return report
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the source is never %s: %+v %+v", what, report.Status, report.Files[0].Attempt)
		}
	}
}

// deployManually creates a person's deployment.
func (c *scene) deployManually(version string) rollout.Deployment {
	c.t.Helper()
	n, err := c.l.Deployer.Check(c.t.Context(), []byte(`{"service": "checkout", "version": "`+version+`", "targets": [{"id": "web-1", "address": "http://10.0.0.1"}]}`))
	if err != nil {
		c.t.Fatal(err)
	}
	created, err := c.s.CreateDeployment(c.t.Context(), n)
	if err != nil {
		c.t.Fatal(err)
	}
	return created.Deployment
}

// updateDeployment changes a deployment as the engine would.
func (c *scene) updateDeployment(id, assignments string) {
	c.t.Helper()
	if _, err := c.s.Pool().Exec(c.t.Context(), `UPDATE deployments SET `+assignments+` WHERE id = $1`, id); err != nil {
		c.t.Fatal(err)
	}
}

const (
	active = `state = 'in_progress', started_at = now()`
	ended  = `state = 'completed', started_at = now(), finished_at = now()`
)

func runningOf(commit string) func(*gitsource.Report) bool {
	return func(r *gitsource.Report) bool {
		a := r.Files[0].Attempt
		return a.State == gitsource.AttemptRunning && a.Commit == commit
	}
}

func TestAttempt_ConflictIsTriedAgainAfterItsEnd(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"a.yaml": rejecting})
	other := c.deployManually("v0")
	c.updateDeployment(other.ID, active)
	for range 2 {
		report := c.sync()
		a := report.Files[0].Attempt
		if a.State != gitsource.AttemptPlanned || !strings.Contains(a.Reason, other.ID) {
			t.Fatalf("the attempt is %+v", a)
		}
		if report.Status.State != gitsource.StateDrifted || report.Status.Reason != a.Reason || report.Status.ActualRevision != "" {
			t.Errorf("the source is %+v", report.Status)
		}
	}
	c.updateDeployment(other.ID, ended)
	report := c.syncUntil("under way", func(r *gitsource.Report) bool { return r.Files[0].Attempt.State == gitsource.AttemptRunning })
	if report.Status.ActualRevision != "" || len(listDeployments(t, c.s)) != 2 {
		t.Errorf("the source is %+v with %d deployments", report.Status, len(listDeployments(t, c.s)))
	}
}

func TestAttempt_NewerCommitReplacesABlockedOne(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"a.yaml": rejecting})
	other := c.deployManually("v0")
	c.updateDeployment(other.ID, active)
	c.sync()
	newer := c.r.Commit("v2", map[string]string{"a.yaml": strings.Replace(rejecting, "v1", "v2", 1)})
	if report := c.sync(); report.Status.DesiredRevision != newer || report.Files[0].Attempt.Commit != newer {
		t.Errorf("the source is at %+v, and the attempt %+v", report.Status, report.Files[0].Attempt)
	}
	c.updateDeployment(other.ID, ended)
	c.syncUntil("under way at the newer commit", runningOf(newer))
	if made := listDeployments(t, c.s); len(made) != 2 || made[0].Version != "v2" {
		t.Errorf("%d deployments, the newest to %s", len(made), made[0].Version)
	}
}

func TestAttempt_SupersededBeforeItBeganIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"a.yaml": checkout})
	other := c.deployManually("v0")
	c.updateDeployment(other.ID, active)
	first := *c.sync().Files[0].Attempt
	newest := c.deployManually("v9") // takes the place of the one that waits
	report := c.sync()
	if a := report.Files[0].Attempt; a.State != gitsource.AttemptPlanned || !strings.Contains(a.Reason, newest.ID) || a.Serial == first.Serial {
		t.Fatalf("the attempt is %+v", a)
	}
	c.updateDeployment(other.ID, ended)
	if a := c.sync().Files[0].Attempt; a.State != gitsource.AttemptPlanned {
		t.Errorf("it supersedes the person's deployment: %+v", a)
	}
	c.updateDeployment(newest.ID, ended)
	report = c.syncUntil("under way", runningOf(first.Commit))
	if again := report.Files[0].Attempt; again.DeploymentID == first.DeploymentID || len(listDeployments(t, c.s)) != 4 {
		t.Errorf("the attempt is %+v of %d deployments", again, len(listDeployments(t, c.s)))
	}
}

func TestAttempt_SupersededByARollbackIsHeld(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"a.yaml": checkout})
	c.updateDeployment(c.deployManually("v0").ID, active)
	c.sync()
	rollback := c.deployManually("v9")
	c.updateDeployment(rollback.ID, `kind = 'rollback'`)
	if a := c.sync().Files[0].Attempt; a.State != gitsource.AttemptHeld || !strings.Contains(a.Reason, rollback.ID) {
		t.Errorf("the attempt is %+v", a)
	}
}

func TestAttempt_BlockedByItsOwnFailingOneEndsIt(t *testing.T) {
	t.Parallel()
	const pausing = rejecting + "strategy: {type: rolling, on_failure: pause}\n"
	c := newScene(t, map[string]string{"a.yaml": pausing})
	stuck := c.sync().Files[0].Attempt.DeploymentID
	c.updateDeployment(stuck, `state = 'paused', stop = 'paused', started_at = now(), progress = progress || '{"cause": "web-1 failed"}'`)
	c.r.Commit("v2", map[string]string{"a.yaml": strings.Replace(pausing, "v1", "v2", 1)})
	c.sync()
	d, err := c.s.Deployment(t.Context(), stuck)
	if err != nil || !d.Operator.Abort {
		t.Errorf("the deployment in the way was not aborted: %+v %v", d.Operator, err)
	}
}

// rejectingDeployer is a deployer that refuses every deployment.
type rejectingDeployer struct {
	Deployer
	code problem.Code
}

func (f rejectingDeployer) Deploy(context.Context, []byte, *gitsource.Source, storage.SourceClaim, string) (storage.Created, error) {
	return storage.Created{}, &problem.Error{Code: f.code, Message: "not now"}
}

func TestAttempt_QuotaSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	for _, code := range gitops.RetryableCodes() {
		c := newScene(t, map[string]string{"a.yaml": checkout})
		deployer := c.l.Deployer
		c.l.Deployer = rejectingDeployer{Deployer: deployer, code: code}
		report := c.sync()
		if a := report.Files[0].Attempt; a.State != gitsource.AttemptPlanned || !strings.Contains(a.Reason, "not now") || report.Status.ActualRevision != "" {
			t.Errorf("%s: the attempt is %+v", code, a)
		}
		c.l.Deployer = deployer
		again := newSyncRun(c.l, claimSource(t, c.s, "a"))
		again.startedAt = again.startedAt.Add(-gitops.RetryInterval)
		if err := again.run(t.Context()); err != nil || again.files[0].Attempt.State != gitsource.AttemptRunning {
			t.Errorf("%s: later the attempt is %+v: %v", code, again.files[0].Attempt, err)
		}
	}
}

func TestAttempt_StoreThatIsAwaySpendsNoAttempt(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"a.yaml": checkout})
	deployer := c.l.Deployer
	c.l.Deployer = rejectingDeployer{Deployer: deployer, code: problem.CodeUnavailable}
	if err := newSyncRun(c.l, claimSource(t, c.s, "a")).run(t.Context()); problem.CodeOf(err) != problem.CodeUnavailable {
		t.Errorf("the step ends with %v", err)
	}
	c.l.Deployer = deployer
	if _, err := c.s.Pool().Exec(t.Context(), `UPDATE gitops_sources SET owner = NULL`); err != nil {
		t.Fatal(err)
	}
	if a := c.sync().Files[0].Attempt; a.State != gitsource.AttemptRunning {
		t.Errorf("the attempt is %+v", a)
	}
}

// A request that is wrong begins nothing either, and asking again would not help.
func TestAttempt_RefusedRequestLeavesNoActualRevision(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"a.yaml": checkout})
	c.l.Deployer = rejectingDeployer{Deployer: c.l.Deployer, code: problem.CodeInvalid}
	report := c.sync()
	if a := report.Files[0].Attempt; a.State != gitsource.AttemptFailed || report.Status.State == gitsource.StateSynced || report.Status.ActualRevision != "" {
		t.Errorf("the attempt is %+v of %+v", a, report.Status)
	}
}
