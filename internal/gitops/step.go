package gitops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// step is what one claim of a source is used for.
type step struct {
	*Loop
	c     *gitsource.Claimed
	at    gitsource.Status
	files []gitsource.File
	began time.Time
	// answered is the last ask that was heard, synced whether the branch was read, fetched whether the remote gave a
	// commit, settled whose attempts have just ended.
	answered int64
	synced   bool
	fetched  bool
	settled  map[string]bool
}

func newStep(l *Loop, c *gitsource.Claimed) *step {
	return &step{Loop: l, c: c, at: c.Status, files: c.Files, began: time.Now(), settled: map[string]bool{}}
}

// now returns the database's time.
func (s *step) now() time.Time { return s.c.Now.Add(time.Since(s.began)) }

// run does all that there is to do now. What was planned before comes first: it was promised.
func (s *step) run(ctx context.Context) error {
	if err := s.deploy(ctx); err != nil {
		return err
	}
	if s.due() && !s.promised() {
		if err := s.sync(ctx); err != nil {
			return err
		}
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	if err := s.heal(ctx); err != nil {
		return err
	}
	assess(&s.at, s.files)
	return s.save(ctx, true)
}

// due reports whether the branch is to be read.
func (s *step) due() bool { return len(s.c.Requests) > 0 || !s.at.NextSyncAt.After(s.now()) }

// promised reports whether an attempt is planned that nothing keeps from beginning.
func (s *step) promised() bool {
	return slices.ContainsFunc(s.files, func(f gitsource.File) bool { return f.Planned() && !f.Blocked() })
}

// save writes the step's findings down; the last one gives the source up.
func (s *step) save(ctx context.Context, last bool) error {
	runAt := nextLook(&s.at, s.files, s.c.Source.Heal, s.now())
	return s.Store.SaveSource(ctx, gitsource.Save{
		Claim: s.c.Claim, Status: s.at, Files: s.files, AckedRequests: s.answered, Release: last, RunAt: runAt,
	})
}

// sync reads the branch and makes the deployments that follow. A failure of the remote is part of the status.
func (s *step) sync(ctx context.Context) error {
	began := time.Now()
	err := s.read(ctx)
	if ctx.Err() != nil || problem.CodeOf(err) == problem.CodeUnavailable {
		return err
	}
	s.Recorder.SyncDone(s.c.Source.Name, time.Since(began), err != nil)
	s.synced = true
	s.at.LastSyncAt = s.now()
	if err == nil {
		s.at.LastGoodSyncAt, s.at.Failures, s.at.Error = s.at.LastSyncAt, 0, ""
	} else {
		s.at.Failures++
		s.at.Error = shortened(err.Error(), 2*maxComplaint)
		s.Log.WarnContext(ctx, "a source could not be synced", "source", s.c.Source.Name, "error", err, "failures", s.at.Failures)
	}
	failures := s.at.Failures
	if s.fetched {
		failures = 0 // the remote works, and what is wrong in the repository may be corrected at any moment
	}
	s.at.NextSyncAt = nextSync(s.now(), s.c.Source.Interval.Std(), failures, s.Share())
	for _, ask := range s.c.Requests {
		s.answered = max(s.answered, ask.ID)
	}
	s.at.Serial = answer(s.files, s.c.Requests, s.at.Serial)
	assess(&s.at, s.files)
	if err := s.save(ctx, false); err != nil {
		return err
	}
	return s.deploy(ctx)
}

// read brings files and desired revision up to the branch.
func (s *step) read(ctx context.Context) error {
	source := &s.c.Source
	return s.mirrors.use(ctx, source, func(m *mirror) error {
		tip, err := m.tip(ctx, source, s.Resolver)
		if err != nil || tip == s.at.DesiredRevision && s.unchanged() {
			return err
		}
		revision, err := m.fetchTip(ctx, source, s.Resolver, tip)
		if err != nil {
			return err
		}
		s.fetched = true
		if err := m.verify(ctx, revision, source.AllowedSigners); err != nil {
			return err
		}
		read, err := s.readFiles(ctx, m, source, revision, s.files)
		if err != nil {
			return err
		}
		if err := s.noteRewrite(ctx, m, revision); err != nil {
			return err
		}
		known := s.files
		s.files, s.at.Serial = merge(known, read, s.c.ManagedElsewhere, s.at.Serial)
		s.at.Removed = removed(s.at.Removed, known, s.files, s.c.ManagedElsewhere, revision, s.now())
		s.at.DesiredRevision = revision
		return nil
	})
}

// unchanged reports whether reading the same commit again can find nothing new.
func (s *step) unchanged() bool {
	for i := range s.files {
		if len(s.files[i].Problems) > 0 {
			return false
		}
	}
	return len(s.c.Requests) == 0 && s.at.Error == "" && s.at.LastGoodSyncAt.After(s.c.Source.UpdatedAt)
}

// noteRewrite records that the branch's history was replaced.
func (s *step) noteRewrite(ctx context.Context, m *mirror, revision string) error {
	before := s.at.DesiredRevision
	if before == "" || before == revision {
		return nil
	}
	descends, err := m.descends(ctx, revision, before)
	if err != nil {
		return fmt.Errorf("compare the branch with what it was: %w", err)
	}
	if !descends {
		s.at.Rewrite = &gitsource.Rewrite{At: s.now(), From: before, To: revision}
		s.Log.WarnContext(ctx, "the history of a source's branch was rewritten", "source", s.c.Source.Name, "from", before, "to", revision)
	}
	return nil
}

// deploy asks for what is planned. Each attempt keeps a name of its own, so asking twice makes one deployment.
func (s *step) deploy(ctx context.Context) error {
	asked := false
	for i := range s.files {
		f := &s.files[i]
		ready, err := s.ready(ctx, f)
		if err != nil {
			return err
		}
		if !ready {
			continue
		}
		asked = true
		body, err := request(f)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s@%s#%d", f.Want.Key(), f.Attempt.Commit, f.Attempt.Serial)
		created, err := s.Deployer.Deploy(ctx, body, &s.c.Source, s.c.Claim, name)
		if err := took(f.Attempt, &created, err, s.now()); err != nil {
			return fmt.Errorf("deploy %s for source %s: %w", f.Want.Key(), s.c.Source.Name, err)
		}
	}
	if !asked {
		return nil
	}
	assess(&s.at, s.files)
	return s.save(ctx, false)
}

// ready reports whether an attempt is planned, and nothing that is known keeps it from beginning.
func (s *step) ready(ctx context.Context, f *gitsource.File) (bool, error) {
	if !f.Blocked() || f.Attempt.TryAt.After(s.now()) {
		return f.Planned() && !f.Blocked(), nil
	}
	busy, err := s.Deployments.HasUnfinished(ctx, f.Want.Service, f.Want.Environment)
	if err != nil {
		return false, fmt.Errorf("see whether %s can be deployed: %w", f.Want.Key(), err)
	}
	if busy {
		f.Attempt.TryAt = s.now().Add(lookAgain)
	}
	return !busy, nil
}

// request returns the body that an attempt sends: the file's own. Healing neither waits for another deployment nor
// supersedes one: what was requested meanwhile goes first.
func request(f *gitsource.File) (json.RawMessage, error) {
	body := f.Want.Body
	if f.Attempt.Kind == gitsource.AttemptSync {
		return body, nil
	}
	body, err := labelled(body, map[string]string{"attempt": string(f.Attempt.Kind)})
	if err != nil || f.Attempt.Kind != gitsource.AttemptHeal {
		return body, err
	}
	return with(body, "on_conflict", rollout.OnConflictReject)
}

// took records what came of asking for a deployment. An attempt that cannot begin now stays planned. An error means that
// the outcome is not known, and that the same is to be asked again.
func took(a *gitsource.Attempt, created *storage.Created, err error, now time.Time) error {
	e, coded := errors.AsType[*problem.Error](err)
	switch {
	case err == nil:
		a.State, a.DeploymentID, a.Reason = gitsource.AttemptRunning, created.Deployment.ID, created.Deployment.Reason
	case coded && e.Code == problem.CodeKeyReused && e.ID != "":
		a.State, a.DeploymentID, a.Reason = gitsource.AttemptRunning, e.ID, "was asked for before"
	case coded && a.Kind != gitsource.AttemptHeal && slices.Contains(laterCodes(), e.Code):
		block(a, e, now)
	case coded && (e.Code == problem.CodeInvalid || e.Code == problem.CodeConflict):
		a.State, a.Reason = gitsource.AttemptFailed, "was refused: "+shortened(e.Error(), maxComplaint)
	default:
		return err
	}
	return nil
}

// block keeps an attempt planned that cannot begin now. The end of a deployment that is in its way is looked for sooner.
func block(a *gitsource.Attempt, why *problem.Error, now time.Time) {
	a.Reason, a.TryAt = "waits, and is asked for again: "+shortened(why.Error(), maxComplaint), now.Add(askAgain)
	if why.ID != "" {
		a.TryAt = now.Add(lookAgain)
	}
}

// askAgain is how long an attempt waits that was refused for another reason than a deployment that has not ended.
const askAgain = 10 * time.Second

// laterCodes returns the refusals that say nothing against the request itself. Nothing was begun, and the same may succeed later.
func laterCodes() []problem.Code {
	return []problem.Code{problem.CodeConflict, problem.CodeRateLimited, problem.CodeInProgress}
}
