package planner

import (
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// failureCause returns why the deployment may not continue as it is, or "".
func failureCause(v *view) string {
	if v.kind.FailureLimit != nil { // else a newer server has made it
		if cause := v.kind.FailureLimit(&v.spec.Strategy, failureCounts(v)); cause != "" {
			return cause
		}
	}
	if cause := routerCause(v); cause != "" {
		return cause
	}
	if v.isOverdue() {
		return overdueCause(v)
	}
	return ""
}

// overdueCause returns what there was no progress in: a router that does not apply a write blocks everything.
func overdueCause(v *view) string {
	deadline := v.spec.Strategy.ProgressDeadline
	if r := v.d.Progress.Router; r != nil && r.Sent != nil && !r.Applied.Equal(&r.Sent.Setting) {
		return fmt.Sprintf("traffic was not moved within %s%s", deadline, routerErrorText(v))
	}
	return fmt.Sprintf("no target was verified within %s", deadline)
}

// failureCounts returns what the failure limit of the strategy is applied to.
func failureCounts(v *view) strategy.Failures {
	f := strategy.Failures{Failed: v.failures, Forgiven: v.d.Progress.Forgiven, Last: lastFailure(v)}
	for _, w := range v.spec.Waves[:v.d.Progress.Wave] {
		f.Reached += w.Size
	}
	return f
}

// lastFailure returns the latest failure on the way forward, or "" when there is none.
func lastFailure(v *view) string {
	var last *rollout.Target
	for i := range v.s.Targets {
		t := &v.s.Targets[i]
		if t.Done() && v.failedForward(t) && (last == nil || t.ErrorAt.After(last.ErrorAt)) {
			last = t
		}
	}
	if last == nil {
		return ""
	}
	return last.ID + ": " + last.Error
}

// routerCause returns why the deployment stops because of its router; empty while it may continue. At a gate nothing
// happens that the router could stop: a person is waited for.
func routerCause(v *view) string {
	if v.d.Progress.Gate > 0 {
		return ""
	}
	return routerFailure(v)
}

// routerFailure returns a text once the router has used up its retries, or "". One that can confirm whether it did
// what no answer came of is asked first.
func routerFailure(v *view) string {
	r := v.d.Progress.Router
	if v.spec.Traffic == nil || r == nil || r.RetriesUsed <= v.spec.Traffic.Retries || v.spec.Traffic.Readable() && r.InDoubt && r.CanConfirm() {
		return ""
	}
	return "the router did not move traffic" + routerErrorText(v)
}

// routerErrorText returns what the router said last, to be appended; empty when nothing is wrong.
func routerErrorText(v *view) string {
	if r := v.d.Progress.Router; r != nil && r.Error != "" {
		return ": " + r.Error
	}
	return ""
}
