package strategy_test

import (
	"reflect"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/planner"
)

var endEvents = map[rollout.State]string{
	rollout.StateCompleted: rollout.EventCompleted, rollout.StateFailed: rollout.EventFailed,
	rollout.StateAborted: rollout.EventAborted, rollout.StateRolledBack: rollout.EventRolledBack,
}

// checkEnd holds the record of a deployment that is over against the truth, now and after every late call has come in.
func (s *sim) checkEnd() {
	d := &s.stored.Deployment
	s.cover("end: " + string(d.State))
	if len(s.calls) > 0 && s.live != nil {
		s.violate("it ended with %d calls in flight", len(s.calls))
	}
	s.checkFinal()
	s.checkEndEvent()
	s.checkResult()
	s.checkDeploymentEnd()
	s.checkTrafficEnd()
	s.coverUndo()
	for i := range s.stored.Targets {
		s.cover("target: " + string(s.stored.Targets[i].State))
		s.checkTargetEnd(i)
		s.checkStillWell(i)
	}
	s.live = nil
	s.epoch++
	for s.queue.Len() > 0 {
		s.advanceDead()
	}
	for i := range s.stored.Targets {
		s.checkTruth(i)
	}
}

// advanceDead lets what is still on its way arrive.
func (s *sim) advanceDead() {
	s.crashes = 0
	s.advance()
	if s.live != nil {
		s.live = nil // a deployment that is over is not claimed
	}
}

// checkFinal wants a deployment that is over to stay as it is.
func (s *sim) checkFinal() {
	was := s.stored.Clone()
	d := planner.Plan(s.stored, s.now.Add(time.Hour))
	if len(d.Actions)+len(d.Transitions)+len(d.Events) > 0 || d.Replan || d.CancelCalls || !d.WakeAt.IsZero() || d.Status != was.Deployment.Status {
		s.violate("terminal is not final")
	}
}

func (s *sim) checkEndEvent() {
	for i := len(s.log) - 1; i >= 0; i-- {
		if e := &s.log[i]; e.Type == endEvents[s.stored.Deployment.State] && e.To == string(s.stored.Deployment.State) {
			return
		}
	}
	s.violate("there is no event that says that it is %s", s.stored.Deployment.State)
}

func (s *sim) checkResult() {
	d := &s.stored.Deployment
	r, c := d.Result, rollout.CountStates(s.stored.Targets)
	success := d.State == rollout.StateCompleted || d.State == rollout.StateRolledBack && d.Kind == rollout.KindRollback
	if r != nil && !reflect.DeepEqual(r.Metadata, s.metadata(success)) {
		s.violate("the result says %v, not %v", r.Metadata, s.metadata(success))
	}
	if r == nil || r.Success != success || r.State != d.State || r.TargetsUpdated != c.Updated || r.TargetsFailed != c.Failed ||
		r.TargetsRolledBack != c.RolledBack {
		s.violate("the result %+v does not fit %s %+v", r, d.State, c)
	}
}

// checkDeploymentEnd wants the state to follow from those of the targets.
func (s *sim) checkDeploymentEnd() {
	d, touchedNotBack, failures := &s.stored.Deployment, 0, 0
	for i := range s.stored.Targets {
		t := &s.stored.Targets[i]
		if s.storedShadow[i].touched() && t.State != rollout.TargetRolledBack {
			touchedNotBack++
		}
		if t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown {
			failures++
		}
	}
	forward := d.Direction == rollout.Forward
	switch {
	case d.State == rollout.StateCompleted && (!forward || s.overspent(s.stored, s.storedForgiven) || d.Kind == rollout.KindRollback):
		s.violate("completed with %d failures, %s", failures, d.Direction)
	case d.State == rollout.StateRolledBack && !forward && touchedNotBack > 0 && !s.backByRouter():
		s.violate("rolled back, but %d touched targets are not", touchedNotBack)
	case d.State == rollout.StateRolledBack && forward && d.Kind == rollout.KindDeploy:
		s.violate("ended rolled_back without a rollback")
	case d.State == rollout.StateFailed && !forward && touchedNotBack == 0 && !s.routerFailed():
		s.violate("failed, though every touched target is back")
	case d.State == rollout.StateAborted != d.Operator.Abort && d.State == rollout.StateAborted:
		s.violate("aborted without an abort command")
	}
}

func (s *sim) checkTargetEnd(i int) {
	t, sh := &s.stored.Targets[i], &s.storedShadow[i]
	switch t.State {
	case rollout.TargetUpdated, rollout.TargetRolledBack, rollout.TargetFailed, rollout.TargetUnknown:
	case rollout.TargetUnchanged:
		if sh.touched() {
			s.violate("%s is unchanged, but was called", t.ID)
		}
		if t.Wave == 0 {
			s.cover("target: of no wave")
		}
	default:
		s.violate("%s ended as %s", t.ID, t.State)
	}
	started := &s.snapshot.Targets[i]
	switch {
	case t.Wave == 0 && (t.State != rollout.TargetUnchanged || sh.generation > 0 || s.world[i].arrivals > 0 || s.world[i].running != started.Version && started.Version != ""):
		s.violate("%s is in no wave, and is %s", t.ID, t.State)
	case t.Call != nil || t.Phase != rollout.PhaseSettled:
		s.violate("%s ended with a call in flight, or in phase %s", t.ID, t.Phase)
	case (t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown) && t.Error == "":
		s.violate("%s is %s and does not say why", t.ID, t.State)
	case started.Version == t.DesiredVersion && started.Version != "" && !s.snapshot.Deployment.Spec.Force && sh.calls[0] > 0:
		s.violate("%s ran %s already, and was called", t.ID, t.DesiredVersion)
	}
	s.checkTruth(i)
}

// checkTruth wants a target to run what its state says, where anybody can know.
func (s *sim) checkTruth(i int) {
	t, w := &s.stored.Targets[i], s.world[i]
	spec := s.stored.Deployment.Spec.ForTarget(t)
	version := spec.VersionCheck()
	confirmed := version >= 0 && (spec.Checks[version].Critical || s.storedShadow[i].said != "")
	if w.muddled || !confirmed && !w.honest() {
		return
	}
	var wanted string
	switch t.State {
	case rollout.TargetUpdated:
		if wanted = t.DesiredVersion; wanted == "" {
			wanted = w.initial // it was unknown, and only checked
		}
	case rollout.TargetRolledBack:
		wanted = t.PreviousVersion
	case rollout.TargetUnchanged:
		wanted = w.initial
	default:
		return
	}
	if w.running != wanted || t.State != rollout.TargetUnchanged && t.Version != wanted && t.Version+t.DesiredVersion != "" {
		s.violate("%s is %s and runs %s, not %s", t.ID, t.State, w.running, wanted)
	}
}

// checkStillWell wants a completed deployment to have seen each target that became unhealthy well before its end.
func (s *sim) checkStillWell(i int) {
	t, w, d := &s.stored.Targets[i], s.world[i], &s.stored.Deployment
	if d.State != rollout.StateCompleted || t.State != rollout.TargetUpdated || w.unhealthyAt.IsZero() || w.flaps+w.mute > 0 {
		return
	}
	checks := d.Spec.ForTarget(t).Checks
	for c := range checks {
		check := &checks[c]
		if !check.Critical || check.Type == healthcheck.TypeNone {
			continue
		}
		slowest := time.Duration(check.UnhealthyThreshold+1)*(check.Interval.Std()+check.Timeout.Std()) + 8*time.Second
		if check.Type == metricType {
			slowest += s.source.until.Sub(s.source.from)
		}
		if since := Later(w.unhealthyAt, s.adoptedAt); d.FinishedAt.Sub(since) > slowest {
			s.violate("%s has been unhealthy since %s, and the deployment completed all the same", t.ID, w.unhealthyAt.Sub(simStart))
		}
	}
}

// ends is what two runs of one scenario are compared by.
type ends struct {
	state    rollout.State
	targets  map[string]rollout.TargetState
	metadata map[string]any
}

func (s *sim) ends() ends {
	e := ends{s.stored.Deployment.State, map[string]rollout.TargetState{}, s.stored.Deployment.Result.Metadata}
	for i := range s.stored.Targets {
		e.targets[s.stored.Targets[i].ID] = s.stored.Targets[i].State
	}
	return e
}

func (e ends) equal(other ends) bool { return reflect.DeepEqual(e, other) }
