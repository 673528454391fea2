package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// excerptWindow is how much before and after a violation is shown.
const excerptWindow = 2 * time.Second

// FormatExcerpt lists what was seen shortly before and after a violation, one line each, in order.
func FormatExcerpt(h *History, v Violation) string {
	var lines []line
	add := func(service string, at time.Time, format string, args ...any) {
		if (v.Service == "" || service == "" || service == v.Service) && at.Sub(v.At).Abs() <= excerptWindow {
			lines = append(lines, line{at, fmt.Sprintf(format, args...)})
		}
	}
	for _, c := range h.Calls {
		add(c.Service, c.Received, "call %s %s of %s to %s, fence %d, attempt %d: %d after %s, applied %t",
			c.Action, c.Version, c.DeploymentID, c.Target, c.Fence, c.Attempt, c.Status, c.Answered.Sub(c.Received).Round(time.Millisecond), c.Applied)
	}
	for _, w := range h.Writes {
		add(w.Service, w.At, "write of %s, fence %d, attempt %d: %d %% to the new side, weights %v, applied %t",
			w.DeploymentID, w.Fence, w.Attempt, w.NewWeight, w.Weights, w.Applied)
	}
	for _, op := range h.Ops {
		add(op.Service, op.Sent, "%s %s on replica %d: %d %s after %s", op.Method, op.Path, op.Replica, op.Status, op.State,
			op.Answered.Sub(op.Sent).Round(time.Millisecond))
	}
	h.addFaults(add)
	for _, d := range h.Deployments {
		for _, e := range d.Events {
			add(d.Service, e.At, "event %d of %s: %s %s %s→%s wave %d fence %d attempt %d by %s", e.Seq, d.ID, e.Type, e.Target, e.From, e.To, e.Wave, e.Fence, e.Attempt, e.Replica)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "    %s %s\n", l.at.UTC().Format("15:04:05.000"), l.text)
	}
	return b.String()
}

// addFaults adds what was broken.
func (h *History) addFaults(add func(service string, at time.Time, format string, args ...any)) {
	for _, r := range h.Restarts {
		add(r.Service, r.At, "FAULT %s, forgot a deployment %t", RouterRestarts, r.Forgot)
	}
	for _, f := range h.Faults {
		add("", f.From, "FAULT %s, replica %d %s, for %s", f.Kind, f.Replica, f.ReplicaID, f.To.Sub(f.From).Round(time.Millisecond))
	}
}

type line struct {
	at   time.Time
	text string
}
