package rollout

import (
	"encoding/json"
	"fmt"
	"strings"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/request"
	"rollcall/internal/routing"
)

// OnFailure says what happens once more targets have failed than a strategy tolerates.
type OnFailure string

// OnFailureRollback puts touched targets back, OnFailurePause waits for a person, OnFailureHalt ends as failed.
const (
	OnFailureRollback OnFailure = "rollback"
	OnFailurePause    OnFailure = "pause"
	OnFailureHalt     OnFailure = "halt"
)

// OnConflict says what happens to a request while another deployment of the same (service, environment) is active.
type OnConflict string

// OnConflictQueue waits behind it, and supersedes what waited before; OnConflictReject refuses.
const (
	OnConflictQueue  OnConflict = "queue"
	OnConflictReject OnConflict = "reject"
)

// Strategy is a strategy with its parameters, resolved: percentages are integers, defaults are filled in. Parameters
// of other types are nil.
type Strategy struct {
	Type             string            `json:"type"`
	OnFailure        OnFailure         `json:"on_failure"`
	MaxFailures      *int              `json:"max_failures,omitempty"`
	ProgressDeadline duration.Duration `json:"progress_deadline"`
	Bake             duration.Duration `json:"bake"`

	// rolling: the size of each wave; the last one repeats.
	BatchSize  Sizes              `json:"batch_size,omitempty"`
	BatchDelay *duration.Duration `json:"batch_delay,omitempty"`

	// blue_green and canary: how many at once (0: all of them, and for canary at most half).
	MaxParallel *int               `json:"max_parallel,omitempty"`
	Promotion   string             `json:"promotion,omitempty"`
	KeepOldFor  *duration.Duration `json:"keep_old_for,omitempty"`

	// canary
	Stages           []Stage            `json:"stages,omitempty"`
	StageDuration    *duration.Duration `json:"stage_duration,omitempty"`
	SuccessThreshold *float64           `json:"success_threshold,omitempty"`
}

// Sizes is a list of sizes; one size alone is written as a plain number in JSON.
type Sizes []int

// MarshalJSON writes a number for one size, a list for several.
func (s Sizes) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		return json.Marshal(s[0])
	}
	return json.Marshal([]int(s))
}

// UnmarshalJSON reads a number or a list of numbers.
func (s *Sizes) UnmarshalJSON(data []byte) error {
	var one int
	if err := json.Unmarshal(data, &one); err == nil {
		*s = Sizes{one}
		return nil
	}
	return json.Unmarshal(data, (*[]int)(s))
}

// Stage is one step of a canary.
type Stage struct {
	Percent   int               `json:"percent"`
	Duration  duration.Duration `json:"duration"`
	Promotion string            `json:"promotion"`
}

// Wave is what a strategy does with the targets that it updates together. Which targets these are is written in
// Target.Wave.
type Wave struct {
	// Size is the number of targets.
	Size int `json:"size"`
	// Parallel bounds the targets that are out of service at once within the wave; it is at least 1.
	Parallel int `json:"parallel"`
	// Weight is the new side's share of traffic, in percent, once the wave is verified.
	Weight int `json:"weight"`
	// Gate says where the wave waits for promote: "" nowhere, GateSwitch before its traffic, GateNext before the next wave.
	Gate string `json:"gate"`
	// Bake is how long the wave is watched after it was verified; Delay comes after it and before the next wave.
	Bake  duration.Duration `json:"bake"`
	Delay duration.Duration `json:"delay"`
	// CheckOnly waves are verified as they are, without a call. Only when all of it is verified does traffic move; when
	// not, the deployment continues without it.
	CheckOnly bool `json:"check_only,omitempty"`
}

// The places of a gate within a wave.
const (
	GateNone   = ""
	GateSwitch = "switch"
	GateNext   = "next"
)

// Deploy says how a target's deploy webhook is called.
type Deploy struct {
	// Path is appended to the target's address when the target names no deploy_url.
	Path    string            `json:"path"`
	Timeout duration.Duration `json:"timeout"`
	// Retries is how many further attempts follow a failed one; Backoff is the wait before the first of them, and
	// doubles with each.
	Retries int               `json:"retries"`
	Backoff duration.Duration `json:"backoff"`

	// Request is the call of a target; nil for Rollcall's own webhook.
	Request *request.Request `json:"request,omitempty"`
	// OK and RetryOn list the statuses of success and of another attempt. Where both are empty, the webhook protocol says what
	// a status means.
	OK      []string `json:"ok,omitempty"`
	RetryOn []string `json:"retry_on,omitempty"`
	// Done says when the deploy is over; nil: by its status.
	Done *request.Done `json:"done,omitempty"`
	// OnNoAnswer is what follows a call whose outcome is not known; empty is OnNoAnswerAsk.
	OnNoAnswer OnNoAnswer `json:"on_no_answer,omitempty"`
}

// OnNoAnswer says what follows a call whose outcome is not known.
type OnNoAnswer string

// OnNoAnswerAsk looks at what the target runs first, OnNoAnswerResend repeats the call when its time is over, and
// OnNoAnswerStop leaves the target unknown.
const (
	OnNoAnswerAsk    OnNoAnswer = "ask"
	OnNoAnswerResend OnNoAnswer = "resend"
	OnNoAnswerStop   OnNoAnswer = "stop"
)

// Spec is what was asked for, resolved and fixed when the deployment was created.
type Spec struct {
	Strategy Strategy            `json:"strategy"`
	Waves    []Wave              `json:"waves"`
	Deploy   Deploy              `json:"deploy"`
	Checks   []healthcheck.Check `json:"health_checks"`
	// ActiveSlot is the slot that served when the deployment was created; empty without slots, or when none is known.
	ActiveSlot string `json:"active_slot,omitempty"`
	// IdleSlot is the other one, to which a blue_green deployment goes.
	IdleSlot string `json:"idle_slot,omitempty"`
	// HealthyDeadline is how long one target may take from the answer of its call to passing its checks.
	HealthyDeadline duration.Duration `json:"healthy_deadline"`
	// Traffic is nil when Rollcall moves no traffic.
	Traffic *routing.Config `json:"traffic,omitempty"`
	// TLS is nil when calls trust the system's roots and show no certificate.
	TLS        *TLS       `json:"tls,omitempty"`
	Force      bool       `json:"force"`
	OnConflict OnConflict `json:"on_conflict"`
	// Protected says that the deployment begins only when someone other than who asked for it has approved it, and that only
	// such a one opens its gates.
	Protected bool `json:"protected,omitempty"`
	// RetryOf is the finished deployment whose remaining targets this one was made for; empty for any other.
	RetryOf string `json:"retry_of,omitempty"`
	// Rules are those of earlier deployments, by which targets are called and judged where Target.Rules says so.
	Rules []Rules `json:"rules,omitempty"`

	ownChecks int // how many checks the deployment itself has, where others stand in their place
	// FromDefinition says that the targets are those that the definition had at creation.
	FromDefinition bool `json:"from_definition,omitempty"`
	// LeftOut are the targets of the deployment that this one rolls back, or retries, that have left the definition since.
	LeftOut []string `json:"left_out,omitempty"`
}

// VersionCheck returns the index of the first check that can read the running version, or -1.
func (s *Spec) VersionCheck() int {
	for i := range s.Checks {
		if s.Checks[i].VersionPointer != "" {
			return i
		}
	}
	return -1
}

// LargestWave returns the maximum number of targets that the strategy has out of service at once, at least 1.
func (s *Spec) LargestWave() int {
	largest := 1
	for _, w := range s.Waves {
		largest = max(largest, w.Parallel)
	}
	return largest
}

// LeftOutText returns the text about the targets a rollback or retry leaves out.
func LeftOutText(ids []string) string {
	const most = 5
	text := "left out, because no longer in the definition: " + strings.Join(ids[:min(len(ids), most)], ", ")
	if len(ids) > most {
		text += fmt.Sprintf(" and %d more", len(ids)-most)
	}
	return text
}
