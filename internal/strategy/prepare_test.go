package strategy_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
)

func prepare(t *testing.T, d rollout.Deployment, targets []rollout.Target, object string, remembered map[string]storage.TargetRecord) storage.NewDeployment {
	t.Helper()
	remembered = maps.Clone(remembered)
	for i := range targets {
		if known, ok := remembered[targets[i].ID]; ok && known.Address == "" {
			known.Address = targets[i].Address
			remembered[targets[i].ID] = known
		}
	}
	prepared, err := strategy.Prepare(d, targets, json.RawMessage(object), remembered)
	if err != nil {
		t.Fatal(err)
	}
	return prepared
}

func named(ids ...string) []rollout.Target {
	var targets []rollout.Target
	for _, id := range ids {
		targets = append(targets, rollout.Target{ID: id, Address: "http://" + id, Version: oldVersion})
	}
	return targets
}

func TestPrepare_UnhealthyTargetsFirst(t *testing.T) {
	t.Parallel()
	prepared := prepare(t, rollout.Deployment{Version: newVersion}, named("e", "d", "c", "b", "a"), `{"batch_size":2}`,
		map[string]storage.TargetRecord{
			"c": {Health: healthcheck.Unhealthy}, "a": {Health: healthcheck.Unhealthy},
			"d": {Health: healthcheck.Degraded}, "b": {Health: healthcheck.Healthy},
		})
	var ids []string
	var waves, positions []int
	for i := range prepared.Targets {
		target := &prepared.Targets[i]
		ids, waves, positions = append(ids, target.ID), append(waves, target.Wave), append(positions, target.Position)
	}
	if !slices.Equal(ids, []string{"c", "a", "e", "d", "b"}) {
		t.Errorf("order %v", ids)
	}
	if !slices.Equal(waves, []int{1, 1, 2, 2, 3}) {
		t.Errorf("waves %v", waves)
	}
	if !slices.Equal(positions, []int{2, 4, 0, 1, 3}) {
		t.Errorf("places in the list %v", positions)
	}
}

func TestPrepare_RecordOutweighsRequest(t *testing.T) {
	t.Parallel()
	targets := named("a", "b", "c")
	targets[2].Version = ""
	prepared := prepare(t, rollout.Deployment{Version: newVersion}, targets, ``, map[string]storage.TargetRecord{
		"a": {Version: "v0"}, "b": {Health: healthcheck.Healthy},
	})
	for i, want := range []string{"v0", oldVersion, ""} {
		if got := prepared.Targets[i].Version; got != want {
			t.Errorf("%s runs %q, want %q", prepared.Targets[i].ID, got, want)
		}
	}
}

func TestPrepare_FenceContinuesFromHighest(t *testing.T) {
	t.Parallel()
	prepared := prepare(t, rollout.Deployment{Version: newVersion}, named("a", "b"), ``, map[string]storage.TargetRecord{"a": {Fence: 41}})
	if prepared.Targets[0].Fence != 41 || prepared.Targets[1].Fence != 0 {
		t.Errorf("fences %d, %d", prepared.Targets[0].Fence, prepared.Targets[1].Fence)
	}
}

func TestPrepare_DeploymentIsPending(t *testing.T) {
	t.Parallel()
	d := rollout.Deployment{Version: newVersion}
	d.Spec.Checks = []healthcheck.Check{{Type: "http", Critical: true}, {Type: healthcheck.TypeNone, Critical: true}}
	prepared := prepare(t, d, named("a"), ``, nil)
	if d := &prepared.Deployment; d.State != rollout.StatePending || d.Direction != rollout.Forward || d.Reason == "" || d.Counts.Total != 1 {
		t.Errorf("%+v", d)
	}
	target := &prepared.Targets[0]
	if target.State != rollout.TargetPending || target.Phase != rollout.PhaseNew || target.Health != healthcheck.Unknown ||
		target.DesiredVersion != newVersion || target.PreviousVersion != "" {
		t.Errorf("%+v", target)
	}
	unknown := healthcheck.State{Status: healthcheck.Unknown, LastStatus: healthcheck.Unknown}
	healthy := healthcheck.State{Status: healthcheck.Healthy, LastStatus: healthcheck.Healthy}
	if !slices.Equal(target.Checks, []healthcheck.State{unknown, healthy}) {
		t.Errorf("%+v", target.Checks)
	}
}

func TestPrepare_RollbackKeepsTargetVersions(t *testing.T) {
	t.Parallel()
	targets := named("a", "b")
	targets[0].DesiredVersion, targets[1].DesiredVersion = "v7", "v8"
	prepared := prepare(t, rollout.Deployment{Kind: rollout.KindRollback}, targets, `{"batch_size":2}`, nil)
	if prepared.Targets[0].DesiredVersion != "v7" || prepared.Targets[1].DesiredVersion != "v8" {
		t.Errorf("%+v", prepared.Targets)
	}
}

func TestPrepare_DoesNotChangeRequest(t *testing.T) {
	t.Parallel()
	targets := named("a", "b", "c")
	was := slices.Clone(targets)
	prepare(t, rollout.Deployment{Version: newVersion}, targets, ``, map[string]storage.TargetRecord{"c": {Health: healthcheck.Unhealthy}})
	if !reflect.DeepEqual(targets, was) {
		t.Errorf("%+v", targets)
	}
}

func TestPrepare_FillsWavesInOrder(t *testing.T) {
	t.Parallel()
	ids := make([]string, 23)
	for i := range ids {
		ids[i] = string(rune('a' + i))
	}
	prepared := prepare(t, rollout.Deployment{Version: newVersion}, named(ids...), `{"batch_size":[1,"20%",7]}`, nil)
	sizes := make([]int, len(prepared.Deployment.Spec.Waves))
	for i := range prepared.Targets {
		sizes[prepared.Targets[i].Wave-1]++
	}
	for i, w := range prepared.Deployment.Spec.Waves {
		if sizes[i] != w.Size {
			t.Errorf("wave %d has %d targets, not %d", i+1, sizes[i], w.Size)
		}
	}
}

func TestPrepare_RefusesDrainBeyondDeadline(t *testing.T) {
	t.Parallel()
	d := rollout.Deployment{Kind: rollout.KindDeploy, Version: newVersion}
	for drain, accepted := range map[time.Duration]bool{time.Minute: false, time.Minute - time.Second: true} {
		d.Spec.Traffic = &routing.Config{Type: "webhook", Drain: duration.Duration(drain)}
		_, err := strategy.Prepare(d, []rollout.Target{{ID: "t1"}}, []byte(`{"type":"rolling","progress_deadline":"1m"}`), nil)
		e, refused := errors.AsType[*problem.Error](err)
		if refused == accepted || refused && (len(e.Fields) != 1 || e.Fields[0].Pointer != "/traffic/drain") {
			t.Errorf("a drain of %s: %v", drain, err)
		}
	}
}
