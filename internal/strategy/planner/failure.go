package planner

import (
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// failureCause returns why the deployment may not continue as it is, or "".
func (v *view) failureCause() string {
	if v.kind.FailureLimit != nil { // else a newer server has made it
		if cause := v.kind.FailureLimit(&v.spec.Strategy, v.failureCounts()); cause != "" {
			return cause
		}
	}
	if cause := v.routerCause(); cause != "" {
		return cause
	}
	if v.isOverdue() {
		return v.overdueCause()
	}
	return ""
}

// overdueCause returns what there was no progress in: a router that does not apply a write blocks everything.
func (v *view) overdueCause() string {
	patience := v.spec.Strategy.ProgressDeadline
	if r := v.d.Progress.Router; r != nil && r.Sent != nil && !r.Applied.Equal(&r.Sent.Setting) {
		return fmt.Sprintf("traffic was not moved within %s%s", patience, v.routerErrorText())
	}
	return fmt.Sprintf("no target was verified within %s", patience)
}

// failureCounts returns what the failure limit of the strategy is applied to.
func (v *view) failureCounts() strategy.Failures {
	f := strategy.Failures{Failed: v.failures, Forgiven: v.d.Progress.Forgiven, Last: v.lastFailure()}
	for _, w := range v.spec.Waves[:v.d.Progress.Wave] {
		f.Reached += w.Size
	}
	return f
}

// lastFailure returns the latest failure on the way forward, or "" when there is none.
func (v *view) lastFailure() string {
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
func (v *view) routerCause() string {
	if v.d.Progress.Gate > 0 {
		return ""
	}
	return v.routerFailure()
}

// routerFailure returns a text once the router has used up its retries, or "". One that can confirm whether it did
// what no answer came of is asked first.
func (v *view) routerFailure() string {
	r := v.d.Progress.Router
	if v.spec.Traffic == nil || r == nil || r.RetriesUsed <= v.spec.Traffic.Retries || v.spec.Traffic.Readable() && r.InDoubt && r.CanConfirm() {
		return ""
	}
	return "the router did not move traffic" + v.routerErrorText()
}

// routerErrorText returns what the router said last, to be appended; empty when nothing is wrong.
func (v *view) routerErrorText() string {
	if r := v.d.Progress.Router; r != nil && r.Error != "" {
		return ": " + r.Error
	}
	return ""
}
