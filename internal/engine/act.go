package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// startActions starts the actions of a step, each in its own goroutine. Targets are called from nowhere else.
func (s *session) startActions(dr *pendingStep) {
	if dr.cancelCalls {
		s.cancelCalls()
	}
	s.mu.Lock()
	callCtx := s.callCtx
	over := s.over
	s.mu.Unlock()
	if over {
		s.releaseCalls(dr.reserved)
		return
	}
	deployment := s.snap.Deployment
	for _, a := range dr.actions {
		if a.Kind == rollout.ActionSetWeights || a.Kind == rollout.ActionReadWeights {
			s.startRouterCall(callCtx, &deployment, a)
			continue
		}
		target := s.snap.Targets[a.Target].Clone()
		s.engine.inFlight.Add(1)
		if a.Kind == rollout.ActionCall {
			s.calls++
			go s.callTarget(callCtx, &deployment, &target, a)
		} else {
			go s.probeTarget(&deployment, &target, a, s.calledAt[a.Target])
		}
	}
}

func (s *session) callTarget(ctx context.Context, d *rollout.Deployment, t *rollout.Target, a rollout.Action) {
	defer s.engine.inFlight.Add(-1)
	t.DeployURL = t.CallURL()
	answer := s.callWithinWindow(ctx, d.ForTarget(t), t, a)
	s.releaseCalls(1)
	s.deliverOutcome(rollout.Outcome{Action: a, Result: answer})
}

// callWithinWindow makes a call if its whole timeout fits before its deadline; otherwise it does not start it.
func (s *session) callWithinWindow(ctx context.Context, d *rollout.Deployment, t *rollout.Target, a rollout.Action) rollout.CallResult {
	began, timeout := s.engine.now(), d.Spec.Deploy.Timeout.Std()
	if began.Add(timeout).After(a.Call.Deadline) {
		return rollout.CallResult{
			Kind: rollout.ResultNotStarted, Message: "not started in time after its intent was stored; it is repeated",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer := s.engine.Targets.Deploy(ctx, d, t, a.Call)
	answer.Began = began
	s.engine.Recorder.CallDone(a.Call.Action, answer.Kind, answer.Latency)
	return answer
}

// probeTarget runs a check, on no connection older than the target's last call: what answers there may have been replaced.
func (s *session) probeTarget(d *rollout.Deployment, t *rollout.Target, a rollout.Action, calledAt time.Time) {
	defer s.engine.inFlight.Add(-1)
	spec := d.Spec.ProbedBy(t)
	check := spec.Checks[a.Check]
	observation := s.engine.Prober.ProbeAgain(s.ctx, check, t.Address, spec.TLS, calledAt)
	if s.ctx.Err() != nil {
		return // a cancelled probe says nothing about its target
	}
	s.engine.Recorder.ProbeDone(check.Type, observation.Status, observation.Latency)
	s.deliverOutcome(rollout.Outcome{Action: a, Probe: observation})
}

// startRouterCall writes to the router, or reads it.
func (s *session) startRouterCall(callCtx context.Context, d *rollout.Deployment, a rollout.Action) {
	targets := slices.Clone(s.snap.Targets)
	s.engine.inFlight.Add(1)
	if a.Kind == rollout.ActionSetWeights {
		s.calls++
		go s.setWeights(callCtx, d, targets, a)
	} else {
		go s.readRouter(d, targets, a)
	}
}

func (s *session) setWeights(ctx context.Context, d *rollout.Deployment, targets []rollout.Target, a rollout.Action) {
	defer s.engine.inFlight.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, a.Route.Deadline.Sub(s.engine.now()))
	defer cancel()
	began := time.Now()
	o := rollout.Outcome{Action: a, Result: s.engine.Router.SetWeights(ctx, d, targets, a.Route)}
	if lifecycle.NeedsReadBack(d, o.Result) {
		reading, err := s.engine.Router.Read(ctx, d, targets)
		if err != nil {
			o.Result = rollout.CallResult{Kind: rollout.ResultUnknown, Message: "written, but not read back: " + err.Error()}
		} else {
			o.Reading = &reading
		}
	}
	o.Result = lifecycle.VerifyRouterWrite(d, o)
	o.Result.Latency = time.Since(began)
	s.engine.Recorder.RouteDone(d.Spec.Traffic.Type, o.Result.Kind, o.Result.Latency)
	s.deliverOutcome(o)
}

func (s *session) readRouter(d *rollout.Deployment, targets []rollout.Target, a rollout.Action) {
	defer s.engine.inFlight.Add(-1)
	ctx, cancel := context.WithTimeout(s.ctx, d.Spec.Traffic.Timeout.Std())
	defer cancel()
	o := rollout.Outcome{Action: a}
	if reading, err := s.engine.Router.Read(ctx, d, targets); err == nil {
		o.Reading = &reading
	} else {
		o.Result = rollout.CallResult{Kind: rollout.ResultUnknown, Message: err.Error()}
		if _, never := errors.AsType[routing.Refusal](err); never {
			o.Result.Kind = rollout.ResultRefused
		}
	}
	if s.ctx.Err() == nil {
		s.deliverOutcome(o)
	}
}
