package storetest

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/audit"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
)

func aSavedTargetIsLoadedAsItWas(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	callTarget(&snap.Targets[1])
	saveStep(t, s, snap, storage.SaveRequest{Targets: snap.Targets[1:2]})

	must(t, s.ReleaseDeployments(ctx(t), "r1"))
	again := claimOne(t, s, "r1")
	if !reflect.DeepEqual(again.Targets, snap.Targets) {
		t.Errorf("loaded\n%+v\nsaved\n%+v", again.Targets, snap.Targets)
	}
}

// callTarget gives a target that has been called something in each of its fields.
func callTarget(target *rollout.Target) {
	now := time.Now().Truncate(time.Microsecond).UTC()
	target.State, target.Phase, target.RollingBack = rollout.TargetRollingBack, rollout.PhaseCalling, true
	target.Version, target.PreviousVersion, target.Health = "v2", "v1", healthcheck.Degraded
	target.Attempts, target.RetriesUsed, target.CallsSent, target.Fence = 2, 1, 3, 42
	target.Call = &rollout.Call{WebhookID: "msg_1", Action: rollout.CallRollback, Version: "v1", Attempt: 2, Fence: 42, Deadline: now}
	target.Checks[0] = healthcheck.State{Status: healthcheck.Healthy, LastStatus: healthcheck.Unhealthy, Streak: 2, Message: "503", NextAt: now}
	target.NotBefore, target.PhaseAt, target.ErrorAt, target.StartedAt = now, now, now, now
	target.Error, target.UpdatedAt = "it said \"no\"", now
}

func targetsInFlightAreReadAndLoadedAsTheyWereSaved(t *testing.T, s Store) {
	for name, leave := range map[string]func(t *testing.T, owner string) (next string){
		"released": func(t *testing.T, owner string) string {
			must(t, s.ReleaseDeployments(ctx(t), owner))
			return owner
		},
		"restarted": func(_ *testing.T, owner string) string { return owner },
		"taken over": func(t *testing.T, owner string) string {
			_, err := s.Heartbeat(ctx(t), owner, -time.Second)
			must(t, err)
			return owner + "-next"
		},
	} {
		owner := strings.ReplaceAll(name, " ", "-")
		snap := startDeployment(t, s, owner, owner)
		callTarget(&snap.Targets[0])
		callTarget(&snap.Targets[1])
		saveStep(t, s, snap, storage.SaveRequest{InFlight: snap.Targets[:2]})
		wantTargets(t, s, name, snap)

		again := claimOne(t, s, leave(t, owner))
		if !reflect.DeepEqual(again.Targets, snap.Targets) {
			t.Errorf("%s: loaded\n%+v\nsaved\n%+v", name, again.Targets, snap.Targets)
		}
		wantTargets(t, s, name, snap)
		finishDeployment(t, s, again, rollout.StateFailed)
	}
}

func targetsInFlightGiveWayToThoseOfTheNextSave(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	callTarget(&snap.Targets[0])
	callTarget(&snap.Targets[1])
	saveStep(t, s, snap, storage.SaveRequest{InFlight: snap.Targets[:2]})
	snap.Targets[0].Phase, snap.Targets[0].Call, snap.Targets[0].Error = rollout.PhaseVerifying, nil, ""
	snap.Targets[1].Phase, snap.Targets[1].Call = rollout.PhaseSettled, nil
	saveStep(t, s, snap, storage.SaveRequest{InFlight: snap.Targets[:1], Targets: snap.Targets[1:2]})
	wantTargets(t, s, "saved again", snap)
	snap.Targets[0].Phase = rollout.PhaseSettled
	saveStep(t, s, snap, storage.SaveRequest{Targets: snap.Targets[:1]})
	wantTargets(t, s, "settled", snap)
	known, err := s.TargetRecords(ctx(t), "checkout", "production")
	must(t, err)
	for i := range snap.Targets[:2] {
		if target := &snap.Targets[i]; known[target.ID].Version != "v2" || known[target.ID].Fence != 42 {
			t.Errorf("%s is remembered as %+v", target.ID, known[target.ID])
		}
	}
}

// wantTargets demands that readers see the targets of the snapshot, in the order of the request.
func wantTargets(t *testing.T, s Store, when string, snap *rollout.Snapshot) {
	t.Helper()
	read, err := s.Targets(ctx(t), snap.Deployment.ID, storage.Page{})
	must(t, err)
	byPosition := func(a, b rollout.Target) int { return a.Position - b.Position }
	got, want := slices.SortedFunc(slices.Values(read.Items), byPosition), slices.SortedFunc(slices.Values(snap.Targets), byPosition)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: read\n%+v\nsaved\n%+v", when, got, want)
	}
}

func aSavedDeploymentIsLoadedAsItWas(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	now := time.Now().Truncate(time.Microsecond).UTC()
	d := &snap.Deployment
	d.State, d.Direction, d.Stop, d.Reason = rollout.StateRollingBack, rollout.Backward, rollout.StopPaused, "going back"
	d.Progress = rollout.Progress{Wave: 1, WaveStartedAt: now, LastProgressAt: now, Forgiven: 1, ResumesApplied: 1, FailureReason: "web-1 failed", Weight: 10}
	d.Counts = rollout.Counts{Total: 3, Updated: 1, Failed: 1, InFlight: 1}
	d.DeadlineAt, d.NextActionAt = now.Add(time.Minute), now.Add(time.Second)
	saveStep(t, s, snap, storage.SaveRequest{})
	if got := readDeployment(t, s, d.ID); !reflect.DeepEqual(got, *d) {
		t.Errorf("loaded\n%+v\nsaved\n%+v", got, *d)
	}
}

func aRepeatedSaveChangesNothingAndAnswersTheSame(t *testing.T, s Store) {
	for name, last := range map[string]storage.SaveRequest{
		"kept": {}, "released": {Release: true, RunAt: time.Now().Add(time.Hour)}, "finished": {Deployment: rollout.Deployment{Status: rollout.Status{State: rollout.StateCompleted}}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := startDeployment(t, s, name, "r-"+name)
			sv := last
			if sv.Deployment = snap.Deployment; name == "finished" {
				sv.Deployment.State, sv.Deployment.FinishedAt = rollout.StateCompleted, time.Now()
			}
			sv.Targets, sv.Events = snap.Targets, WithTimes(rollout.Event{Type: rollout.EventWaveFinished})
			first, err := s.SaveDeployment(ctx(t), sv)
			must(t, err)
			before := readDeployment(t, s, snap.Deployment.ID)
			second, err := s.SaveDeployment(ctx(t), sv)
			must(t, err)
			if first != second {
				t.Errorf("first %+v, then %+v", first, second)
			}
			if after := readDeployment(t, s, snap.Deployment.ID); !reflect.DeepEqual(before, after) {
				t.Errorf("before\n%+v\nafter\n%+v", before, after)
			}
		})
	}
}

func onlyTheOwnerInItsEpochSaves(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	before := readDeployment(t, s, snap.Deployment.ID)
	for name, change := range map[string]func(*rollout.Deployment){
		"another owner": func(d *rollout.Deployment) { d.Owner = "r2" },
		"no owner":      func(d *rollout.Deployment) { d.Owner = "" },
		"an old epoch":  func(d *rollout.Deployment) { d.Epoch-- },
		"a later epoch": func(d *rollout.Deployment) { d.Epoch++ },
		"old saves":     func(d *rollout.Deployment) { d.Saves -= 2 },
		"later saves":   func(d *rollout.Deployment) { d.Saves++ },
	} {
		d := snap.Deployment
		d.Reason = "must not be written"
		change(&d)
		_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: d, Targets: snap.Targets, Events: WithTimes(rollout.Event{Type: "x"})})
		if problem.CodeOf(err) != problem.CodeOwnershipLost {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := readDeployment(t, s, snap.Deployment.ID); !reflect.DeepEqual(before, after) {
		t.Errorf("before\n%+v\nafter\n%+v", before, after)
	}
}

func aSavePlannedBeforeACommandIsStale(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	d, err := s.UpdateDeployment(ctx(t), snap.Deployment.ID, 0, pauseDeployment)
	must(t, err)
	_, err = s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment})
	wantCode(t, err, problem.CodeStale)

	revisions, err := s.OperatorRevisions(ctx(t), "r1")
	must(t, err)
	if want := map[string]int64{d.ID: 1}; !reflect.DeepEqual(revisions, want) {
		t.Errorf("operator revisions %v, want %v", revisions, want)
	}
	snap.Deployment = d
	saveStep(t, s, snap, storage.SaveRequest{})
	if got := readDeployment(t, s, d.ID); !got.Operator.Pause || got.State != rollout.StatePaused {
		t.Errorf("the save undid the command: %+v", got)
	}
}

func theRevisionGrowsOnlyWithWhatTheAPIShows(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	d := &snap.Deployment
	now := time.Now() // with nanoseconds, which the database does not keep
	d.DeadlineAt, d.NextActionAt, d.Progress.LastProgressAt = now, now, now
	first := saveStep(t, s, snap, storage.SaveRequest{})
	if same := saveStep(t, s, snap, storage.SaveRequest{RunAt: now.Add(time.Hour)}); same.Revision != first.Revision {
		t.Errorf("revision %d became %d although nothing changed", first.Revision, same.Revision)
	}
	changes := []func() storage.SaveRequest{
		func() storage.SaveRequest { d.Reason = "another"; return storage.SaveRequest{} },
		func() storage.SaveRequest { d.Progress.Weight = 5; return storage.SaveRequest{} },
		func() storage.SaveRequest { d.NextActionAt = time.Time{}; return storage.SaveRequest{} },
		func() storage.SaveRequest { d.DeadlineAt = now.Add(time.Second); return storage.SaveRequest{} },
		func() storage.SaveRequest { return storage.SaveRequest{Targets: snap.Targets[:1]} },
		func() storage.SaveRequest {
			return storage.SaveRequest{Events: []rollout.Event{{Type: rollout.EventWaveStarted}}}
		},
	}
	for i, change := range changes {
		if got := saveStep(t, s, snap, change()); got.Revision != first.Revision+int64(i)+1 {
			t.Errorf("change %d: revision %d, want %d", i, got.Revision, first.Revision+int64(i)+1)
		}
	}
}

func aFinishedDeploymentIsFinal(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	finishDeployment(t, s, snap, rollout.StateCompleted)
	_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment})
	wantCode(t, err, problem.CodeOwnershipLost)
	_, err = s.UpdateDeployment(ctx(t), snap.Deployment.ID, 0, pauseDeployment)
	wantCode(t, err, problem.CodeConflict)
}

func eventsOfAllWritersAreNumberedWithoutGaps(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	id := snap.Deployment.ID
	const commands = 40
	var writers sync.WaitGroup
	for i := range commands {
		writers.Go(func() {
			if _, err := s.UpdateDeployment(ctx(t), id, 0, noteChange(i)); err != nil {
				t.Error(err)
			}
		})
	}
	saves := saveUntil(t, s, snap, 40)
	writers.Wait()
	list := readEvents(t, s, id)
	wantNumbered(t, list)
	if want := 2 + commands + 2*saves; len(list) != want {
		t.Errorf("%d events, want %d", len(list), want)
	}
	if d := readDeployment(t, s, id); d.LastSeq != int64(len(list)) || d.OperatorRevision != commands {
		t.Errorf("last seq %d, operator revision %d", d.LastSeq, d.OperatorRevision)
	}
}

func whatOnlyTheOwnerKnowsIsNotStored(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	snap.Deployment.Progress.Router = &routing.State{Reading: true, Fence: 1}
	snap.Deployment.Spec.Traffic = &routing.Config{Type: "webhook"} // what was asked for is fixed
	snap.Targets[0].Checks[0].Probing = true
	saveStep(t, s, snap, storage.SaveRequest{Targets: snap.Targets})
	if !snap.Targets[0].Checks[0].Probing || !snap.Deployment.Progress.Router.Reading {
		t.Error("a save changed what its writer has in memory")
	}
	must(t, s.ReleaseDeployments(ctx(t), "r1"))
	again := claimOne(t, s, "r2")
	if r := again.Deployment.Progress.Router; again.Targets[0].Checks[0].Probing || r != nil && r.Reading || again.Deployment.Spec.Traffic != nil {
		t.Errorf("the next owner finds %+v, router %+v, traffic %+v", again.Targets[0].Checks, r, again.Deployment.Spec.Traffic)
	}
}

func theEventsOfAnEngineSayWhoWroteThem(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	saveStep(t, s, snap, storage.SaveRequest{Events: []rollout.Event{{Type: rollout.EventWaveStarted, Wave: 1}}})
	list := readEvents(t, s, snap.Deployment.ID)
	last := list[len(list)-1]
	if last.Actor != rollout.ActorEngine || last.Replica != "r1" || last.Epoch != 1 || last.DeploymentID != snap.Deployment.ID || last.At.IsZero() {
		t.Errorf("the event is %+v", last)
	}
}

// They come from a creation, saves, commands, one that others supersede, a take-over, and a save whose answer was lost.
func eventsOfAllWritersAreAChain(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	id := snap.Deployment.ID
	older := createDeployment(t, s, NewRequest("checkout", 1))
	createDeployment(t, s, NewRequest("checkout", 1))
	_, err := s.UpdateDeployment(ctx(t), id, 0, noteChange(1))
	must(t, err)
	_, err = s.Heartbeat(ctx(t), "r1", -time.Second)
	must(t, err)
	snap = claimOne(t, s, "r2")
	weight := 10
	until := time.Now().Add(time.Second)
	call := rollout.Call{WebhookID: "msg", Action: rollout.CallDeploy, Version: "v2", Attempt: 1, Fence: 7, Deadline: until, NewWeight: &weight}
	sv := storage.SaveRequest{Deployment: snap.Deployment, Events: WithTimes(rollout.Event{Type: rollout.EventTargetIntent, Target: "web-1", Wave: 1, Call: &call})}
	for range 2 {
		_, err = s.SaveDeployment(ctx(t), sv)
		must(t, err)
	}
	snap.Deployment = readDeployment(t, s, id)
	finishDeployment(t, s, snap, rollout.StateCompleted)
	for _, id := range []string{id, older.ID} {
		d, list := readDeployment(t, s, id), readEvents(t, s, id)
		if proof := audit.VerifyChain(list, d.EventsHash); len(proof.Violations) > 0 || proof.Chained != len(list) || len(list) < 3 {
			t.Errorf("deployment %s: %+v of %d events", id, proof, len(list))
		}
	}
}

func anEventOfASaveHasATime(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment, Events: []rollout.Event{{Type: rollout.EventWaveStarted}}})
	wantCode(t, err, problem.CodeInvalid)
}

// noteChange returns a change that only writes an event.
func noteChange(i int) func(*rollout.Deployment, time.Time) ([]rollout.Event, error) {
	return func(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
		d.Operator.Promoted = i
		return []rollout.Event{{Type: rollout.EventPromoted, Actor: "ann", Message: strconv.Itoa(i)}}, nil
	}
}

// saveUntil saves two events at a time, reading the deployment again when a save is stale, and counts what landed.
func saveUntil(t *testing.T, s Store, snap *rollout.Snapshot, n int) (landed int) {
	t.Helper()
	for landed < n {
		d := readDeployment(t, s, snap.Deployment.ID)
		_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: d, Events: WithTimes(rollout.Event{Type: rollout.EventWaveStarted}, rollout.Event{Type: rollout.EventWaveFinished})})
		switch problem.CodeOf(err) {
		case problem.CodeStale:
		default:
			must(t, err)
			landed++
		}
	}
	return landed
}

func pauseDeployment(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
	if d.Operator.Pause {
		return nil, nil
	}
	d.Operator.Pause, d.State = true, rollout.StatePaused
	return []rollout.Event{{Type: rollout.EventPaused, Actor: "ann"}}, nil
}
