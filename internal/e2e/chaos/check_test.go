package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// logOf builds a log: each event a second after the one before, by replica r1.
func logOf(events ...Event) []Event {
	for i := range events {
		e := &events[i]
		e.Seq, e.Actor, e.Replica = i+1, "engine", "r1"
		if e.At.IsZero() {
			e.At = at(float64(i))
		}
	}
	return events
}

func intent(target, action, id string, attempt int, fence int64) Event {
	return Event{Type: "target.intent", Target: target, Action: action, WebhookID: id, Attempt: attempt, Fence: fence}
}

// good is a history in which every promise is kept: d1 brings a and b to v1 one after the other behind a router, with a
// call of b that got no answer and was made again; d2 is a canary that was paused, went on and then was rolled back.
func good() *History {
	first := Deployment{
		ID: "d1", Service: "s", Version: "v1", Kind: "deploy", State: "completed", Key: "k1", Success: true, Revision: 9,
		StartedAt: at(1), FinishedAt: at(12), Updated: 2,
		Targets: []Target{{"a", "updated", "v1", "v0"}, {"b", "updated", "v1", "v0"}},
		Plan:    Plan{Strategy: Rolling, Batch: 1, Allowed: []string{"completed"}},
		Events: logOf(
			Event{Type: "deployment.created"}, Event{Type: "deployment.started"}, Event{Type: "wave.started", Wave: 1},
			Event{Type: "traffic.intent", WebhookID: "w1", Attempt: 1, Fence: 1},
			intent("a", "deploy", "m1", 1, 1), Event{Type: "target.verified", Target: "a"},
			Event{Type: "traffic.intent", WebhookID: "w2", Attempt: 1, Fence: 2},
			intent("b", "deploy", "m2", 1, 1), intent("b", "deploy", "m2", 2, 2), Event{Type: "target.verified", Target: "b"},
			Event{Type: "traffic.intent", WebhookID: "w3", Attempt: 1, Fence: 3}, Event{Type: "deployment.completed"},
		),
	}
	second := Deployment{
		ID: "d2", Service: "s", Version: "v2", Kind: "deploy", State: "rolled_back", Key: "k2", Revision: 7,
		StartedAt: at(20), FinishedAt: at(32), RolledBack: 1,
		Targets: []Target{{"a", "rolled_back", "v1", "v1"}, {"b", "unchanged", "v1", "v1"}},
		Plan:    Plan{Strategy: Canary, Allowed: []string{"rolled_back"}},
		Events: logOf(
			Event{Type: "deployment.created"}, Event{Type: "deployment.started"}, Event{Type: "wave.started", Wave: 1},
			Event{Type: "traffic.intent", WebhookID: "w4", Attempt: 1, Fence: 4},
			Event{Type: "deployment.paused"}, Event{Type: "deployment.resumed"},
			intent("a", "deploy", "m3", 1, 2), Event{Type: "deployment.promoted", Wave: 1},
			Event{Type: "deployment.rollback_started"}, intent("a", "rollback", "m4", 1, 3),
			Event{Type: "target.verified", Target: "a"}, Event{Type: "traffic.intent", WebhookID: "w5", Attempt: 1, Fence: 5}, Event{Type: "deployment.rolled_back"},
		),
	}
	for i := range second.Events {
		second.Events[i].At = at(20 + float64(i))
	}
	call := func(d, target, action, version, id string, attempt int, fence int64, received float64) Call {
		return Call{
			Service: "s", Target: target, DeploymentID: d, Action: action, Version: version, WebhookID: id, Attempt: attempt, Fence: fence,
			Received: at(received), Answered: at(received + 0.5), Status: 200, Applied: true,
		}
	}
	write := func(d, id string, fence int64, sent float64, share, a, b int) Write {
		return Write{
			Service: "s", DeploymentID: d, WebhookID: id, Attempt: 1, Fence: fence, At: at(sent), Applied: true, NewWeight: share,
			Weights: map[string]int{"a": a, "b": b},
		}
	}
	h := &History{
		Calls: []Call{
			call("d1", "a", "deploy", "v1", "m1", 1, 1, 5), call("d1", "b", "deploy", "v1", "m2", 1, 1, 8),
			call("d1", "b", "deploy", "v1", "m2", 2, 2, 9), call("d2", "a", "deploy", "v2", "m3", 1, 2, 27),
			call("d2", "a", "rollback", "v1", "m4", 1, 3, 30),
		},
		Writes: []Write{
			write("d1", "w1", 1, 4, 0, 0, 100), write("d1", "w2", 2, 7, 50, 100, 0), write("d1", "w3", 3, 11, 100, 100, 100),
			write("d2", "w4", 4, 24, 0, 0, 100), write("d2", "w5", 5, 31, 0, 100, 100),
		},
		Ops: []Op{
			{Service: "s", Method: "POST", Path: "/deployments", Key: "k1", Sent: at(0), Answered: at(0.1), Status: 202, ID: "d1", State: "pending", Revision: 1},
			{Service: "s", Method: "GET", Path: "/deployments/d1", Sent: at(13), Answered: at(13.1), Status: 200, ID: "d1", State: "completed", Revision: 9},
			{Service: "s", Method: "GET", Path: "/deployments/d1", Sent: at(14), Answered: at(14.1), Status: 503, RetryAfter: "1"},
			{Service: "s", Method: "GET", Path: "/deployments/d1", Sent: at(15), Answered: at(15.1), Status: 200, ID: "d1", State: "completed", Revision: 9},
			{Service: "s", Method: "POST", Path: "/deployments", Key: "k2", Sent: at(19), Answered: at(19.1), Status: 202, ID: "d2", State: "pending", Revision: 1},
			{Service: "s", Method: "POST", Path: "/deployments/d2/rollback", Sent: at(27.4), Answered: at(27.5), Status: 200, ID: "d2", State: "rolling_back", Revision: 4},
		},
		Deployments: []Deployment{first, second},
		Metrics:     map[string]int{"completed": 1, "rolled_back": 1},
		Runs:        map[string]map[string]string{"s": {"a": "v1", "b": "v1"}},
	}
	h.Weights = map[string]Write{"s": h.Writes[4]}
	return h
}

func TestCheck_CleanHistoryHasNoViolation(t *testing.T) {
	t.Parallel()
	for _, v := range CheckHistory(good()) {
		t.Errorf("%s: %s", v.Promise, v.Text)
	}
}

// broken is one way to break a promise.
type broken struct {
	promise string
	does    func(*History)
}

func brokenOnes() map[string]broken {
	ofFirst := func(h *History) *Deployment { return &h.Deployments[0] }
	ofSecond := func(h *History) *Deployment { return &h.Deployments[1] }
	insert := func(d *Deployment, i int, e Event) {
		e.Replica, e.Actor, e.At = "r1", "engine", d.Events[i].At
		d.Events = slices.Insert(d.Events, i, e)
		for j := range d.Events {
			d.Events[j].Seq = j + 1
		}
	}
	return map[string]broken{
		"an answer of 500":          {"A answers", func(h *History) { h.Ops[1].Status = 500 }},
		"a 503 without Retry-After": {"A answers", func(h *History) { h.Ops[2].RetryAfter = "" }},
		"a deployment that is lost": {"A durable", func(h *History) { h.Ops[0].ID = "d0" }},
		"a command that is done again": {"A once", func(h *History) {
			op := h.Ops[5]
			op.Key, op.Again = "r1", true
			h.Ops[5].Key = "r1"
			op.Sent, op.Answered, op.Status, op.ID = at(33), at(33.1), 202, "d3"
			h.Ops = append(h.Ops, op)
		}},
		"a pause that is done again": {"A once", func(h *History) {
			h.Deployments[1].Events = append(h.Deployments[1].Events, Event{Seq: 14, Type: "deployment.paused", At: at(33)})
		}},
		"two answers for one key":     {"A durable", func(h *History) { h.Ops[4].Key = "k1" }},
		"two deployments for one key": {"A durable", func(h *History) { ofSecond(h).Key = "k1" }},
		"an end that is taken back":   {"T terminal is final", func(h *History) { h.Ops[3].State = "in_progress" }},
		"an end that is changed":      {"T terminal is final", func(h *History) { h.Ops[3].Revision = 10 }},
		"a revision that falls":       {"A durable", func(h *History) { h.Ops[1].State, h.Ops[3].Revision = "in_progress", 8 }},
		"two that run at once":        {"E one active", func(h *History) { ofSecond(h).StartedAt = at(5) }},
		"a call after the next began": {"E one active", func(h *History) {
			h.Calls = append(h.Calls, h.Calls[2])
			late := &h.Calls[len(h.Calls)-1]
			late.Received, late.Answered, late.Attempt, late.Fence = at(28), at(28.2), 3, 9
			insert(ofFirst(h), 9, intent("b", "deploy", "m2", 3, 9))
		}},
		"a call that was never written down":      {"E intent first", func(h *History) { h.Calls[0].Attempt = 7 }},
		"a write that was never written down":     {"E intent first", func(h *History) { h.Writes[0].WebhookID = "w9" }},
		"a call before it was written down":       {"E intent first", func(h *History) { ofFirst(h).Events[4].At = at(9) }},
		"a call again with another id":            {"E same id", func(h *History) { h.Calls[2].WebhookID = "m9" }},
		"a call again with the same attempt":      {"E higher attempt", func(h *History) { h.Calls[2].Attempt = 1 }},
		"a fence that falls":                      {"E fence", func(h *History) { h.Calls[3].Fence = 1 }},
		"a fence that comes twice":                {"E fence", func(h *History) { h.Calls[2].Fence = 1 }},
		"a router's fence that falls":             {"E fence", func(h *History) { h.Writes[4].Fence = 2 }},
		"two calls at one target":                 {"E one call per target", func(h *History) { h.Calls[1].Answered = at(9.5) }},
		"a call that stays open into the next":    {"E one call per target", func(h *History) { h.Calls[1].Answered = time.Time{} }},
		"two targets of a wave of one out":        {"S a wave", func(h *History) { insert(ofFirst(h), 5, intent("b", "deploy", "m2", 1, 1)) }},
		"a canary that goes too far":              {"S exposure", func(h *History) { insert(ofSecond(h), 7, intent("b", "deploy", "m9", 1, 9)) }},
		"a canary before its stage":               {"S exposure", func(h *History) { ofSecond(h).Events[2].Type = "gate.waiting" }},
		"a forward call after the rollback began": {"S no forward call", func(h *History) { insert(ofSecond(h), 9, intent("b", "deploy", "m9", 1, 9)) }},
		"a call after the end": {"S no forward call", func(h *History) {
			insert(ofFirst(h), 11, Event{Type: "deployment.completed"})
			insert(ofFirst(h), 12, intent("a", "deploy", "m9", 1, 9))
		}},
		"a call of a target with traffic":      {"S drained", func(h *History) { h.Writes[0].Weights["a"] = 1 }},
		"a rollback to another version":        {"S its own version back", func(h *History) { h.Calls[4].Version = "v0" }},
		"a rollback of a target never touched": {"S no other target", func(h *History) { h.Calls[4].Target = "b" }},
		"a call written down during a pause":   {"C pause", func(h *History) { insert(ofSecond(h), 5, intent("b", "deploy", "m9", 1, 9)) }},
		"a gate that is passed twice":          {"C promote", func(h *History) { insert(ofSecond(h), 8, Event{Type: "deployment.promoted", Wave: 1}) }},
		"a call long after a pause": {"C pause", func(h *History) {
			abortFirst(h)
			p := &h.Ops[len(h.Ops)-1]
			p.Path, p.State = "/deployments/d1/pause", "paused"
		}},
		"a 503 that is late":      {"T " + saysUnavailable, func(h *History) { h.Ops[2].Answered = at(18) }},
		"a takeover that is late": {"T " + takesOver, func(h *History) { takeover(h, 9) }},
		"a stop that is late": {"T " + handsOver, func(h *History) {
			h.Faults = append(h.Faults, Fault{Kind: Term, From: at(40), To: at(50), Ended: at(45)})
		}},
		"a stop that fails": {"T stops cleanly", func(h *History) {
			h.Faults = append(h.Faults, Fault{Kind: Term, From: at(40), To: at(50), Ended: at(41), Exit: 1})
		}},
		"a database that is back and nothing resumes": {"T " + resumption, standStill},
		"a forward call long after an abort":          {"C abort", func(h *History) { abortFirst(h) }},
		"an end that should not be":                   {"T the same end", func(h *History) { ofFirst(h).State = "failed" }},
		"success that is none":                        {"R success", func(h *History) { ofSecond(h).Success = true }},
		"a target that is left in the middle":         {"R each target ends", func(h *History) { ofFirst(h).Targets[0].State = "verifying" }},
		"counts that do not count":                    {"R counts", func(h *History) { ofFirst(h).Updated = 1 }},
		"an updated target on another version":        {"R the truth", func(h *History) { h.Runs["s"]["b"] = "v0"; ofSecond(h).Targets[1].Version = "" }},
		"a target rolled back to another version":     {"R the truth", func(h *History) { h.Runs["s"]["a"] = "v2" }},
		"a router left in the middle":                 {"S weights set back", func(h *History) { w := h.Weights["s"]; w.NewWeight = 50; h.Weights["s"] = w }},
		"a target left without traffic":               {"S weights set back", func(h *History) { h.Writes[4].Weights["a"] = 0 }},
		"a gap in the log":                            {"R events", func(h *History) { ofFirst(h).Events[3].Seq = 9 }},
		"an event that names no actor":                {"R events", func(h *History) { ofFirst(h).Events[3].Actor = "" }},
		"an end that is not recorded":                 {"R events", func(h *History) { ofFirst(h).Events[11].Type = "wave.finished" }},
		"weight for a target that is not verified":    {"S only verified targets", func(h *History) { ofFirst(h).Events[9].Type = "wave.finished" }},
		"weight for a target that was given up":       {"S only verified targets", func(h *History) { ofFirst(h).Events[9].Type = "target.failed" }},
		"a router that goes beyond a canary's stage":  {"S exposure", func(h *History) { h.Writes[4].NewWeight = 50 }},
		"weights beyond a canary's stage":             {"S exposure", func(h *History) { h.Writes[4].At = at(29) }},
		"a switch before the idle side has it": {"S exposure", func(h *History) {
			ofSecond(h).Plan.Strategy, h.Writes[4].NewWeight = BlueGreen, 100
		}},
		"a forward call when the budget is spent": {"S no forward call", func(h *History) { insert(ofSecond(h), 6, Event{Type: "target.failed", Target: "b"}) }},
		"an abort that is forgotten":              {"A command is durable", abortFirst},
		"a rollback that is forgotten":            {"A command is durable", func(h *History) { ofSecond(h).State = "aborted" }},
		"a pause that is forgotten": {"A command is durable", func(h *History) {
			abortFirst(h)
			p := &h.Ops[len(h.Ops)-1]
			p.Path, p.State = "/deployments/d1/pause", "paused"
		}},
		"a way back that leads forward":            {"T legal transitions", func(h *History) { addReads(h, "rolling_back", "in_progress") }},
		"one that is pending again":                {"T legal transitions", func(h *History) { addReads(h, "in_progress", "pending") }},
		"one revision in two states":               {"T legal transitions", func(h *History) { addReads(h, "in_progress", "paused"); h.Ops[len(h.Ops)-1].Revision = 4 }},
		"a success with a target in doubt":         {"R unknown is no success", func(h *History) { ofFirst(h).Targets[0].State = "unknown" }},
		"a late call with its successor's fence":   {"E fence", func(h *History) { frozenCall(h, "r1"); h.Calls[5].Fence = 2 }},
		"a deadline that passes and nothing comes": {"T " + endsInTime, func(h *History) { outlive(h) }},
		"metrics that count otherwise":             {"R metrics", func(h *History) { h.Metrics["completed"] = 2 }},
		"a deployment that is said to be stuck":    {"R metrics", func(h *History) { h.Stuck = 1 }},
		"a late call of a replica that ran":        {"E fence", func(h *History) { frozenCall(h, "r2") }},
		"a router that is not set again":           {"T " + setsAgain, func(h *History) { forgets(h, 8, 24) }},
		"a router that forgot and an end on that": {"S ends on what the router does", func(h *History) {
			forgets(h, 11.5, 24)
			h.Writes[2].At = at(11)
		}},
		"a deployment that ends and leaves its router in the middle": {"S weights set back", func(h *History) { h.Writes[2].NewWeight = 50 }},
		"a late call long after its replica awoke":                   {"E fence", func(h *History) { frozenCall(h, "r1"); h.Faults[0].To = at(20) }},
	}
}

// frozenCall has d1's first call come again when d2 runs, from an owner that was frozen meanwhile; replica is the one that
// was frozen.
func frozenCall(h *History, replica string) {
	late := h.Calls[0]
	late.Received, late.Answered, late.Status, late.Applied = at(28), at(28.1), 409, false
	h.Calls = append(h.Calls, late)
	h.Faults = append(h.Faults, Fault{Kind: Freeze, ReplicaID: replica, From: at(4.9), To: at(27.9)})
}

// forgets has the router restart while d1 runs, and d1 write to it again and end later.
func forgets(h *History, when, again float64) {
	h.Replicas, h.Restarts = 1, append(h.Restarts, Restart{Service: "s", At: at(when), Forgot: true})
	h.Writes[2].At, h.Deployments[0].FinishedAt = at(again), at(again+1)
}

func TestCheck_TargetDrainedBeforeMayStayOut(t *testing.T) {
	t.Parallel()
	h := good()
	for i, weight := range []int{0, 0, 100} { // what d2 finds, and what it leaves
		h.Writes[2+i].Weights["b"], h.Writes[2+i].Weights["a"] = 0, weight
	}
	for _, v := range CheckHistory(h) {
		if v.Promise == "S weights set back" {
			t.Errorf("%s: %s", v.Promise, v.Text)
		}
	}
}

func TestCheck_RouterRestartIsNoViolation(t *testing.T) {
	t.Parallel()
	for name, does := range map[string]func(*History){
		"set again, and a target called before that": func(h *History) { forgets(h, 8, 11) },
		"a moment before the end":                    func(h *History) { forgets(h, 11.5, 11) },
		"after the end":                              func(h *History) { forgets(h, 13, 11) },
		"when time was up": func(h *History) {
			forgets(h, 11.5, 11)
			h.Deployments[0].FinishedAt, h.Deployments[0].Plan.Fault = at(19.9), DeadlinePasses
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			does(h)
			for _, v := range CheckHistory(h) {
				t.Errorf("%s: %s", v.Promise, v.Text)
			}
		})
	}
}

func TestMeasure_RestartCountsWhileWorkIsPossible(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does func(*History)
		took time.Duration
	}{
		"always": {func(*History) {}, 22 * time.Second},
		"paused": {func(h *History) {
			events := slices.Insert(h.Deployments[0].Events, 8, Event{Type: "deployment.paused", At: at(9)}, Event{Type: "deployment.resumed", At: at(19)})
			h.Deployments[0].Events = logOf(events...)
		}, 12 * time.Second},
		"the database away": {func(h *History) {
			h.Faults = append(h.Faults, Fault{Kind: DatabaseStop, Replica: -1, From: at(9), To: at(15)})
		}, 11 * time.Second}, // and 5 s of coming back
		"its owner away": {func(h *History) {
			h.Faults = append(h.Faults, Fault{Kind: Kill, Replica: 1, ReplicaID: "r1", From: at(11.5), To: at(14.5)})
		}, 17 * time.Second}, // and 2 s until it could have been taken over
		"its owner away and taken over": {func(h *History) {
			h.Faults = append(h.Faults, Fault{Kind: Kill, Replica: 1, ReplicaID: "r1", From: at(11.5), To: at(14.5)})
			h.Deployments[0].Events = append(h.Deployments[0].Events, Event{At: at(12.5), Type: "deployment.taken_over", Replica: "r2"})
		}, 21 * time.Second},
		"all replicas away": {func(h *History) {
			h.Faults = append(h.Faults, Fault{Kind: Kill, Replica: 0, ReplicaID: "r9", From: at(9), To: at(14)})
		}, 17 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			forgets(h, 8, 30)
			c.does(h)
			m := h.measureRewrites()
			if len(m.Took) != 1 || (m.Took[0]-c.took).Abs() > 2*step {
				t.Errorf("it took %v, not %s", m.Took, c.took)
			}
		})
	}
}

// addReads adds reads of d1 before its end that returned these states at rising revisions.
func addReads(h *History, states ...string) {
	for i, state := range states {
		h.Ops = append(h.Ops, Op{
			Service: "s", Method: "GET", Path: "/deployments/d1", Sent: at(4 + float64(i)), Answered: at(4.5 + float64(i)),
			Status: 200, ID: "d1", State: state, Revision: 4 + i,
		})
	}
}

// outlive has d1's deadline pass long before anything comes of it.
func outlive(h *History) {
	addReads(h, "in_progress")
	h.Replicas = 1
	op := &h.Ops[len(h.Ops)-1]
	op.Sent, op.Answered, op.Deadline = at(7.9), at(8), at(2)
	for i := range h.Deployments[0].Events {
		if e := &h.Deployments[0].Events[i]; e.Type == "target.verified" {
			e.At = at(5)
		}
	}
}

// standStill has a database come back, much under way, and nothing written down for long.
func standStill(h *History) {
	h.Replicas = 2
	h.Faults = append(h.Faults, Fault{Kind: DatabaseStop, Replica: -1, From: at(10.1), To: at(10.5)})
	for range 2 {
		h.Deployments = append(h.Deployments, h.Deployments[0])
	}
	for i := range h.Deployments {
		d := &h.Deployments[i]
		d.StartedAt, d.FinishedAt = at(1), at(31)
		d.Events = slices.Clone(d.Events)
		for j := range d.Events {
			if d.Events[j].At.After(at(10.5)) {
				d.Events[j].At = at(30)
			}
		}
	}
}

// takeover has d1 taken over from a replica that was killed so many seconds before.
func takeover(h *History, seconds float64) {
	h.Lease, h.Replicas = 2*time.Second, 2
	h.Faults = append(h.Faults, Fault{Kind: Kill, Replica: 1, ReplicaID: "r1", From: at(20 - seconds), To: at(20)})
	e := &h.Deployments[0].Events[10]
	e.Type, e.At, e.Replica = "deployment.taken_over", at(20), "r2"
}

// abortFirst has d1 aborted before its second target is called.
func abortFirst(h *History) {
	h.Ops = append(h.Ops, Op{Service: "s", Method: "POST", Path: "/deployments/d1/abort", Sent: at(5), Answered: at(5.5), Status: 200, ID: "d1", State: "in_progress", Revision: 4})
}

func TestCheck_DetectsEachBrokenGuarantee(t *testing.T) {
	t.Parallel()
	for name, b := range brokenOnes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			b.does(h)
			found := CheckHistory(h)
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == b.promise }) {
				t.Errorf("%s was not seen: %v", b.promise, found)
			}
		})
	}
}

func TestCheck_DeadlineExcludesOutages(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]Fault{
		"the database was away": {Kind: DatabaseStop, Replica: -1, From: at(0), To: at(4)},
		"its owner was dead":    {Kind: Kill, Replica: 0, ReplicaID: "r1", From: at(1), To: at(5)},
		"no replica ran":        {Kind: Kill, Replica: 0, ReplicaID: "r9", From: at(1), To: at(9)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			outlive(h)
			h.Faults = append(h.Faults, fault)
			for _, v := range CheckHistory(h) {
				t.Errorf("%s: %s", v.Promise, v.Text)
			}
		})
	}
}

func TestCheck_ThawedOwnerMaySendRecordedCall(t *testing.T) {
	t.Parallel()
	h := good()
	frozenCall(h, "r1")
	for _, v := range CheckHistory(h) {
		t.Errorf("%s: %s", v.Promise, v.Text)
	}
}

func TestExcerpt_ShowsEventsAroundViolation(t *testing.T) {
	t.Parallel()
	h := good()
	h.Faults = append(h.Faults, Fault{Kind: Kill, Replica: 2, From: at(6), To: at(7)})
	shown := FormatExcerpt(h, Violation{Service: "s", At: at(5)})
	for _, want := range []string{"deploy v1 of d1 to a", "write of d1, fence 1", string(Kill), "target.intent a"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not shown:\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "d2") {
		t.Errorf("more than what was around it is shown:\n%s", shown)
	}
}

func TestCheck_TouchedTargetMustBeHealthyToServe(t *testing.T) {
	t.Parallel()
	called := intent("a", "deploy", "m", 1, 1)
	is := func(kind string) Event { return Event{Type: kind, Target: "a"} }
	for name, c := range map[string]struct {
		log  []Event
		must bool
	}{
		"called":                               {[]Event{called}, true},
		"called and verified":                  {[]Event{called, is("target.verified")}, false},
		"called and given up":                  {[]Event{called, is("target.failed")}, true},
		"never reached, and given up":          {[]Event{called, is("target.not_sent"), is("target.failed")}, false},
		"reached once of two times":            {[]Event{called, called, is("target.not_sent"), is("target.failed")}, true},
		"verified as it was, then unhealthy":   {[]Event{is("target.verified"), is("target.failed")}, true},
		"unhealthy, called again and verified": {[]Event{is("target.verified"), is("target.failed"), called, is("target.verified")}, false},
	} {
		if got := len(unverifiedTargets(c.log)) > 0; got != c.must {
			t.Errorf("%s: %t", name, got)
		}
	}
}
