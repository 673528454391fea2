package chaos

import (
	"maps"
	"path/filepath"
	"testing"
	"time"
)

// faulted is the good history with one fault in it; CountInjected must count it, and not when does has changed what proves it.
type faulted struct {
	kind    Kind
	with    func(*History)
	without func(*History)
}

func faultedHistories() []faulted {
	killed := func(kind Kind, when float64) func(*History) {
		return func(h *History) {
			h.Faults = append(h.Faults, Fault{Kind: kind, ReplicaID: "r1", From: at(when), Ended: at(when), To: at(when + 1)})
		}
	}
	planned := func(kind Kind, call int, status int, applied bool, took time.Duration) func(*History) {
		return func(h *History) {
			h.Deployments[0].Plan.Fault = kind
			for i := range h.Calls {
				h.Calls[i].Target = map[string]string{"a": "web-1", "b": "web-2"}[h.Calls[i].Target]
			}
			h.Deployments[0].Plan.Target = 1
			c := &h.Calls[call]
			c.Status, c.Applied, c.Answered = status, applied, c.Received.Add(took)
		}
	}
	elsewhere := func(h *History) { h.Deployments[0].Plan.Target = 2 }
	flood := func(h *History) {
		h.Deployments[0].Plan.Fault = SamePost
		for i := range 32 {
			h.Ops = append(h.Ops, Op{Method: "POST", Path: "/deployments", Key: "k1", Replica: i % 2, Status: 202, ID: "d1", Sent: at(0), Answered: at(1)})
		}
	}
	commands := func(h *History) {
		h.Deployments[1].Plan.Fault = CommandsAtOnce
		h.Ops = append(h.Ops, Op{Method: "POST", Path: "/deployments/d2/promote", Sent: at(27.4), Answered: at(27.5), Status: 409})
	}
	return []faulted{
		{KillBeforeSend, func(h *History) {
			killed(KillBeforeSend, 9)(h)
			h.Calls = append(h.Calls[:2], h.Calls[3:]...)
		}, func(h *History) { h.Deployments[0].Events[8].Replica = "r2" }},
		{KillAnswered, killed(KillAnswered, 5.6), func(h *History) {
			h.Deployments[0].Events[5] = Event{Seq: 6, At: at(5.5), Type: "target.result", WebhookID: "m1", Attempt: 1, Fence: 1, Replica: "r1"}
		}},
		{Kill, killed(Kill, 5), func(h *History) { h.Faults[0].Missed = true }},
		{TargetHangs, planned(TargetHangs, 1, 0, false, 2*time.Second), elsewhere},
		{TargetResets, planned(TargetResets, 1, 0, false, 0), func(h *History) { h.Calls[1].Answered = at(9) }},
		{TargetFails, planned(TargetFails, 1, 500, false, 0), func(h *History) { h.Calls[1].Applied = true }},
		{TargetFailsLate, planned(TargetFailsLate, 1, 500, true, 0), func(h *History) { h.Calls[1].Applied = false }},
		{TargetBusy, planned(TargetBusy, 1, 429, false, 0), elsewhere},
		{TargetRedirects, planned(TargetRedirects, 1, 302, false, 0), elsewhere},
		{TargetProxied, planned(TargetProxied, 1, 200, true, ProxiedWork), func(h *History) { h.Calls[1].Answered = h.Calls[1].Received }},
		{TargetLies, planned(TargetLies, 1, 200, false, 0), func(h *History) { h.Calls[1].Applied = true }},
		{TargetDrips, planned(TargetDrips, 1, 200, true, 0), elsewhere},
		{TargetUnhealthy, planned(TargetUnhealthy, 1, 200, true, 0), elsewhere},
		{TargetTurnsUnhealthy, func(h *History) {
			h.Deployments[0].Plan.Fault, h.Deployments[0].Events[5].Type = TargetTurnsUnhealthy, "target.sick"
		}, func(h *History) { h.Deployments[0].Events[5].Type = "target.verified" }},
		{RouterFailsLate, func(h *History) { h.Writes[1].Status = 500 }, func(h *History) { h.Writes[1].Applied = false }},
		{RouterRestarts, func(h *History) { forgets(h, 8, 11) }, func(h *History) { h.Restarts[0].Forgot = false }},
		{SamePost, flood, func(h *History) {
			for i := range h.Ops {
				h.Ops[i].Replica = 0
			}
		}},
		{CommandsAtOnce, commands, func(h *History) { h.Ops[len(h.Ops)-1].Sent = at(27.6) }},
		{DeadlinePasses, func(h *History) {
			h.Deployments[0].Plan.Fault = DeadlinePasses
			outlive(h)
		}, func(h *History) { h.Ops[len(h.Ops)-1].Deadline = at(30) }},
	}
}

func TestInjected_CountsOnlyProvenFaults(t *testing.T) {
	t.Parallel()
	for _, s := range faultedHistories() {
		t.Run(string(s.kind), func(t *testing.T) {
			t.Parallel()
			h := good()
			if injected := CountInjected(h); injected[s.kind] != 0 {
				t.Fatalf("it was counted before: %v", injected)
			}
			s.with(h)
			if injected := CountInjected(h); injected[s.kind] != 1 {
				t.Errorf("it was not counted: %v", injected)
			}
			s.without(h)
			if injected := CountInjected(h); injected[s.kind] != 0 {
				t.Errorf("it counts without a proof: %v", injected)
			}
		})
	}
}

func TestInjected_MissedKillCountsAsRandom(t *testing.T) {
	t.Parallel()
	h := good()
	h.Faults = append(h.Faults, Fault{Kind: KillBeforeSend, ReplicaID: "r1", From: at(40), Ended: at(40), To: at(41)})
	if injected := CountInjected(h); injected[Kill] != 1 || injected[KillBeforeSend] != 0 {
		t.Errorf("it counts as %v", injected)
	}
}

func TestSums_AddUp(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for seed := range uint64(2) {
		s := NewSum(seed)
		h := good()
		h.Faults = append(h.Faults, Fault{Kind: Kill, ReplicaID: "r1", From: at(5), Ended: at(5), To: at(6)})
		s.AddRound(h, []Violation{{}}, map[Kind]int{Term: 1}, time.Minute)
		if err := s.Save(filepath.Join(folder, string(rune('a'+seed))+".json")); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := SumFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Rounds != 2 || sum.Kills != 2 || sum.Deployments != 4 || sum.Violations != 2 || sum.Lasted != 2*time.Minute ||
		!maps.Equal(sum.Unmet, map[Kind]int{Term: 2}) || sum.Faults[Kill] != 2 {
		t.Errorf("they add up to %+v", sum)
	}
	if missing := sum.MissingKinds(); len(missing) != len(AllKinds())-1 {
		t.Errorf("%d kinds never happened: %v", len(missing), missing)
	}
}
