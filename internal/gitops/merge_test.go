package gitops

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/gitsource"
	"rollcall/internal/rollout"
)

func validFile(path, service, digest string) CommitFile {
	return CommitFile{Path: path, Want: &gitsource.DesiredState{
		Service: service, Environment: "production", Version: digest, Digest: digest, Commit: gitsource.Commit{SHA: "c-" + digest},
	}}
}

func invalidFile(path string) CommitFile {
	return CommitFile{Path: path, Problems: []gitsource.FileProblem{{Line: 1, Detail: "is wrong"}}}
}

// markDone ends all attempts well.
func markDone(files []gitsource.File) []gitsource.File {
	for i := range files {
		if files[i].Attempt != nil {
			a := *files[i].Attempt
			a.State, a.DeploymentID = gitsource.AttemptDone, fmt.Sprint("d", a.Serial)
			files[i].Attempt = &a
		}
	}
	return files
}

func plannedPaths(files []gitsource.File) (paths []string) {
	for i := range files {
		if files[i].IsPlanned() {
			paths = append(paths, files[i].Path)
		}
	}
	return paths
}

func TestPlan_OnlyChangedFilesArePlanned(t *testing.T) {
	t.Parallel()
	begin := []CommitFile{validFile("a.yaml", "a", "1"), validFile("b.yaml", "b", "1")}
	known, serial := MergeFiles(nil, begin, nil, 0)
	if got := plannedPaths(known); len(got) != 2 || serial != 2 {
		t.Fatalf("planned at first: %v, up to %d", got, serial)
	}
	known = markDone(known)
	for name, c := range map[string]struct {
		found []CommitFile
		taken map[string]string
		want  []string
		files int
	}{
		"nothing new":                      {begin, nil, nil, 2},
		"one changed":                      {[]CommitFile{begin[0], validFile("b.yaml", "b", "2")}, nil, []string{"b.yaml"}, 2},
		"one broken":                       {[]CommitFile{invalidFile("a.yaml"), begin[1]}, nil, nil, 2},
		"one broken, one changed":          {[]CommitFile{invalidFile("a.yaml"), validFile("b.yaml", "b", "2")}, nil, []string{"b.yaml"}, 2},
		"one removed":                      {begin[:1], nil, nil, 1},
		"all removed":                      {nil, nil, nil, 0},
		"one renamed":                      {[]CommitFile{validFile("z.yaml", "a", "1"), begin[1]}, nil, nil, 2},
		"one renamed, the old name broken": {[]CommitFile{invalidFile("a.yaml"), begin[1], validFile("z.yaml", "a", "1")}, nil, nil, 3},
		"another service in a file":        {[]CommitFile{validFile("a.yaml", "c", "1"), begin[1]}, nil, []string{"a.yaml"}, 2},
		"twice":                            {[]CommitFile{begin[0], validFile("c.yaml", "a", "2"), begin[1]}, nil, nil, 3},
		"another source's":                 {[]CommitFile{begin[0], begin[1], validFile("c.yaml", "c", "1")}, map[string]string{"c/production": "other"}, nil, 3},
		"a new one":                        {[]CommitFile{begin[0], begin[1], validFile("c.yaml", "c", "1")}, nil, []string{"c.yaml"}, 3},
	} {
		files, _ := MergeFiles(known, c.found, c.taken, serial)
		if got := plannedPaths(files); !slices.Equal(got, c.want) || len(files) != c.files {
			t.Errorf("%s: planned %v of %d files, want %v of %d", name, got, len(files), c.want, c.files)
		}
	}
}

func TestFile_BrokenKeepsDesiredStateAndShowsError(t *testing.T) {
	t.Parallel()
	known, serial := MergeFiles(nil, []CommitFile{validFile("a.yaml", "a", "1")}, nil, 0)
	broken, _ := MergeFiles(markDone(known), []CommitFile{invalidFile("a.yaml")}, nil, serial)
	if f := broken[0]; f.Want == nil || f.Want.Digest != "1" || len(f.Problems) != 1 || f.State() != gitsource.StateError {
		t.Errorf("broken: %+v", f)
	}
	corrected, _ := MergeFiles(broken, []CommitFile{validFile("a.yaml", "a", "1")}, nil, serial)
	if len(corrected[0].Problems) != 0 || corrected[0].IsPlanned() {
		t.Errorf("corrected: %+v", corrected[0])
	}
}

func TestAttempt_RemembersUnfinishedDeployment(t *testing.T) {
	t.Parallel()
	known, serial := MergeFiles(nil, []CommitFile{validFile("a.yaml", "a", "1")}, nil, 0)
	for _, digest := range []string{"2", "3"} {
		known[0].Attempt.State, known[0].Attempt.DeploymentID = gitsource.AttemptRunning, "of-"+known[0].Want.Digest
		known, serial = MergeFiles(known, []CommitFile{validFile("a.yaml", "a", digest)}, nil, serial)
	}
	if got := known[0].Attempt.Superseded; !slices.Equal(got, []string{"of-1", "of-2"}) {
		t.Errorf("older deployments %v", got)
	}
}

func TestAttempt_RetryTakesFailedReleaseTakesHeld(t *testing.T) {
	t.Parallel()
	states := []gitsource.AttemptState{gitsource.AttemptDone, gitsource.AttemptRunning, gitsource.AttemptFailed, gitsource.AttemptHeld}
	for _, c := range []struct {
		request gitsource.SyncRequest
		want    []string
	}{
		{gitsource.SyncRequest{}, nil},
		{gitsource.SyncRequest{Retry: true}, []string{"failed"}},
		{gitsource.SyncRequest{Release: true}, []string{"held"}},
		{gitsource.SyncRequest{Retry: true, Release: true}, []string{"failed", "held"}},
		{gitsource.SyncRequest{Retry: true, Service: "held"}, nil},
		{gitsource.SyncRequest{Release: true, Service: "held", Environment: "production"}, []string{"held"}},
		{gitsource.SyncRequest{Release: true, Environment: "staging"}, nil},
	} {
		var files []gitsource.File
		for _, s := range states {
			files = append(files, gitsource.File{
				Path: string(s), Want: validFile("", string(s), "1").Want, Attempt: &gitsource.Attempt{State: s, DeploymentID: "d"},
			})
		}
		PlanRequested(files, []gitsource.SyncRequest{c.request}, 7)
		if got := plannedPaths(files); !slices.Equal(got, c.want) {
			t.Errorf("%+v tries %v again, want %v", c.request, got, c.want)
		}
	}
}

// What must hold after any history of commits: no key twice, a plan for exactly those files that want something new, and
// serials that never repeat.
func TestPlan_OneAttemptPerChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var known []gitsource.File
		var serial int64
		used := map[int64]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "commits") {
			before := map[string]string{}
			for i := range known {
				if w := known[i].Want; w != nil {
					before[w.Key()] = w.Digest
				}
			}
			var commit []CommitFile
			for _, path := range []string{"a.yaml", "b.yaml", "c.yaml"} {
				switch rapid.IntRange(0, 4).Draw(t, "kind") {
				case 0: // not there
				case 1:
					commit = append(commit, invalidFile(path))
				default:
					commit = append(commit, validFile(path, rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "service"),
						rapid.SampledFrom([]string{"1", "2"}).Draw(t, "digest")))
				}
			}
			known, serial = MergeFiles(markDone(known), commit, nil, serial)
			keys := map[string]bool{}
			for i := range known {
				f := &known[i]
				if f.Want == nil {
					continue
				}
				if keys[f.Want.Key()] {
					t.Fatalf("%s is managed twice", f.Want.Key())
				}
				keys[f.Want.Key()] = true
				if changed := before[f.Want.Key()] != f.Want.Digest; changed != f.IsPlanned() {
					t.Fatalf("%s changed: %v, planned: %v", f.Path, changed, f.IsPlanned())
				}
				if len(f.Problems) > 0 && f.IsPlanned() {
					t.Fatalf("%s is broken, and changes something", f.Path)
				}
				if f.IsPlanned() {
					if used[f.Attempt.Serial] {
						t.Fatalf("serial %d is used twice", f.Attempt.Serial)
					}
					used[f.Attempt.Serial] = true
				}
			}
		}
	})
}

func TestAttempt_EndsAsItsDeployment(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for state, want := range map[rollout.State]gitsource.AttemptState{
		rollout.StatePending: gitsource.AttemptRunning, rollout.StateInProgress: gitsource.AttemptRunning,
		rollout.StatePaused: gitsource.AttemptRunning, rollout.StateRollingBack: gitsource.AttemptRunning,
		rollout.StateCompleted: gitsource.AttemptDone, rollout.StateFailed: gitsource.AttemptFailed,
		rollout.StateRolledBack: gitsource.AttemptFailed, rollout.StateAborted: gitsource.AttemptFailed,
		rollout.StateSuperseded: gitsource.AttemptFailed,
	} {
		f := gitsource.File{Attempt: &gitsource.Attempt{State: gitsource.AttemptRunning}}
		SettleAttempt(&f, &rollout.Deployment{Status: rollout.Status{State: state}}, now)
		if f.Attempt.State != want {
			t.Errorf("%s: the attempt is %s, not %s", state, f.Attempt.State, want)
		}
	}
	f := gitsource.File{Attempt: &gitsource.Attempt{State: gitsource.AttemptRunning}}
	SettleAttempt(&f, &rollout.Deployment{Status: rollout.Status{State: rollout.StateRolledBack}, Operator: rollout.OperatorIntent{Rollback: true}}, now)
	if f.Attempt.State != gitsource.AttemptHeld {
		t.Errorf("what a person rolled back is %s", f.Attempt.State)
	}
}

func TestAttempt_OnlyFailurePauseBlocks(t *testing.T) {
	t.Parallel()
	stuck := rollout.Deployment{Status: rollout.Status{State: rollout.StatePaused, Stop: rollout.StopPaused, Progress: rollout.Progress{FailureReason: "web-1 failed"}}}
	if !IsStuckFailing(&stuck) {
		t.Error("one that waits for a person because it failed does not count")
	}
	person := stuck
	person.Operator.Pause = true
	gate := rollout.Deployment{Status: rollout.Status{State: rollout.StateInProgress, Progress: rollout.Progress{Gate: 1}}}
	back := rollout.Deployment{Status: rollout.Status{State: rollout.StateRollingBack, Progress: rollout.Progress{FailureReason: "web-1 failed"}}}
	for name, d := range map[string]rollout.Deployment{"paused by a person": person, "at a gate": gate, "on its way back": back} {
		if IsStuckFailing(&d) {
			t.Errorf("one %s would be ended", name)
		}
	}
}

func TestHeal_DriftedOneAtATimeWithBackoff(t *testing.T) {
	t.Parallel()
	now := time.Now()
	file := func(kind gitsource.AttemptKind, state gitsource.AttemptState, actual string) gitsource.File {
		return gitsource.File{
			Path: actual, Want: validFile("", "s-"+string(kind)+string(state)+actual, "1").Want,
			Attempt: &gitsource.Attempt{Kind: kind, State: state}, Targets: []gitsource.Drift{{Target: "t", Wanted: "1", Actual: actual}},
		}
	}
	sync, healing := gitsource.AttemptSync, gitsource.AttemptHeal
	for name, c := range map[string]struct {
		f    gitsource.File
		want bool
	}{
		"done and drifted":    {file(sync, gitsource.AttemptDone, "0"), true},
		"done, not drifted":   {file(sync, gitsource.AttemptDone, "1"), false},
		"done, unknown":       {file(sync, gitsource.AttemptDone, ""), false},
		"failed":              {file(sync, gitsource.AttemptFailed, "0"), false},
		"failed when retried": {file(gitsource.AttemptRetry, gitsource.AttemptFailed, "0"), false},
		"held":                {file(sync, gitsource.AttemptHeld, "0"), false},
		"running":             {file(sync, gitsource.AttemptRunning, "0"), false},
		"healed before":       {file(healing, gitsource.AttemptDone, "0"), true},
		"healing failed":      {file(healing, gitsource.AttemptFailed, "0"), true},
	} {
		if got := SelectForHealing([]gitsource.File{c.f}, nil, now) != nil; got != c.want {
			t.Errorf("%s: healed is %v", name, got)
		}
	}
	a, b := file(sync, gitsource.AttemptDone, "0"), file(healing, gitsource.AttemptRunning, "0")
	if SelectForHealing([]gitsource.File{a, b}, nil, now) != nil {
		t.Error("two healing deployments at once")
	}
	if SelectForHealing([]gitsource.File{a}, map[string]bool{a.Want.Key(): true}, now) != nil {
		t.Error("healed beside another deployment")
	}
	b.Attempt.State = gitsource.AttemptRunning
	for i := range 3 {
		SettleAttempt(&b, &rollout.Deployment{Status: rollout.Status{State: rollout.StateFailed}}, now)
		wait := firstHealBackoff << i
		if SelectForHealing([]gitsource.File{b}, nil, now.Add(wait-time.Second)) != nil || SelectForHealing([]gitsource.File{b}, nil, now.Add(wait)) == nil {
			t.Errorf("after %d failures the wait is not %s", i+1, wait)
		}
	}
}

func TestSource_StatusIsItsWorstPart(t *testing.T) {
	t.Parallel()
	good := gitsource.File{Want: validFile("", "a", "1").Want, Attempt: &gitsource.Attempt{State: gitsource.AttemptDone}, Targets: []gitsource.Drift{{Wanted: "1", Actual: "1"}}, SeenAt: "new"}
	silent, other, running, broken := good, good, good, good
	silent.Targets = []gitsource.Drift{{Wanted: "1"}}
	other.Targets = []gitsource.Drift{{Wanted: "1", Actual: "0"}}
	running.Attempt = &gitsource.Attempt{State: gitsource.AttemptRunning}
	broken.Problems = []gitsource.FileProblem{{Detail: "is wrong"}}
	for name, c := range map[string]struct {
		files []gitsource.File
		err   string
		want  gitsource.State
	}{
		"all good":      {[]gitsource.File{good, good}, "", gitsource.StateSynced},
		"one silent":    {[]gitsource.File{good, silent}, "", gitsource.StateUnknown},
		"one other":     {[]gitsource.File{silent, other}, "", gitsource.StateDrifted},
		"one under way": {[]gitsource.File{good, running}, "", gitsource.StateDrifted},
		"one broken":    {[]gitsource.File{good, broken, other}, "", gitsource.StateError},
		"sync failed":   {[]gitsource.File{good}, "the remote is gone", gitsource.StateError},
	} {
		at := gitsource.Status{DesiredRevision: "new", ActualRevision: "old", Error: c.err}
		UpdateStatus(&at, c.files)
		if at.State != c.want || at.Reason == "" || (at.ActualRevision == "new") != (c.want == gitsource.StateSynced) {
			t.Errorf("%s: %+v, want %s", name, at, c.want)
		}
	}
	good.SeenAt = "old"
	at := gitsource.Status{DesiredRevision: "new", ActualRevision: "old"}
	if UpdateStatus(&at, []gitsource.File{good}); at.ActualRevision != "old" {
		t.Errorf("targets that were probed before the commit make it the actual one: %+v", at)
	}
}

func TestPoll_IsSpreadAndBacksOff(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		failures    int
		share       float64
		least, most time.Duration
	}{
		{0, 0, 54 * time.Second, 54 * time.Second},
		{0, 1, 66 * time.Second, 66 * time.Second},
		{1, 0.5, 2 * time.Minute, 2 * time.Minute},
		{30, 0.5, 10 * time.Minute, 10 * time.Minute},
	} {
		wait := NextSyncAt(now, time.Minute, c.failures, c.share).Sub(now).Round(time.Second)
		if wait < c.least || wait > c.most {
			t.Errorf("after %d failures the next poll is in %s", c.failures, wait)
		}
	}
}
