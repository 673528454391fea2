package strategy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

const (
	defaultStageDuration    = time.Minute
	defaultSuccessThreshold = 0.95
	promoteAuto             = "auto"
	promoteManual           = "manual"
)

// canaryKind returns the strategy that updates a growing share of the targets, stage by stage, and watches each before the next. A large stage is
// updated in parts, so that enough targets stay in service. It stops as soon as too few of them can still be verified.
func canaryKind() Kind {
	return Kind{
		Description: Description{
			Type:    "canary",
			Summary: "a growing share of the targets, each stage watched before the next",
			Parameters: []Parameter{
				{
					"stages", "list of percentages or {percent, duration, promotion}", "[10,25,50,100]",
					"shares of the targets, rounded up; they rise strictly and end at 100; promotion manual waits for promotion",
				},
				{
					"max_parallel", "integer", "0",
					"how many targets of a stage are updated at once; 0 means as many as leave at least half of all targets in service",
				},
				{"stage_duration", "duration", `"1m"`, "how long a stage is watched that names no duration"},
				{
					"success_threshold", "number", "0.95",
					"the minimum share of the targets called so far that must be verified, above 0 and at most 1",
				},
			},
		},
		rejects:       []string{"max_failures"},
		resolve:       resolveCanary,
		FailureLimit:  belowThreshold,
		LimitExposure: true,
	}
}

func resolveCanary(p *params, n int, s *rollout.Strategy) []rollout.Wave {
	duration := p.readDuration("stage_duration", defaultStageDuration, 0)
	s.StageDuration = &duration
	threshold := p.readFraction("success_threshold", defaultSuccessThreshold)
	s.SuccessThreshold = &threshold
	s.Stages = p.readStages("stages", duration)
	parallel := p.readCount("max_parallel")
	s.MaxParallel = &parallel
	most := parallel
	if most == 0 {
		most = max(n/2, 1) //nolint:mnd // half of them stay in service
	}
	var waves []rollout.Wave
	done := 0
	for _, stage := range s.Stages {
		reach := max(done, (n*stage.Percent+lifecycle.AllTraffic-1)/lifecycle.AllTraffic)
		size := reach - done
		done = reach
		w := rollout.Wave{
			Size: size, Parallel: max(min(size, most), 1), Weight: stage.Percent, Bake: stage.Duration + s.Bake,
		}
		if stage.Promotion == promoteManual {
			w.Gate = rollout.GateNext
		}
		waves = append(waves, w)
	}
	return waves
}

// belowThreshold returns why too many of the targets called so far have failed for the current stage to succeed, or "". Failures
// that were forgiven count neither way. The share is divided, not multiplied: 55/100 is 0.55, and 0.55*100 more than 55.
func belowThreshold(s *rollout.Strategy, f Failures) string {
	failed, reach := f.Failed-f.Forgiven, f.Reached-f.Forgiven
	threshold := *s.SuccessThreshold
	if failed <= 0 || float64(reach-failed)/float64(reach) >= threshold {
		return ""
	}
	return fmt.Sprintf("%d of %s failed, below the success threshold of %g; the last: %s",
		failed, FormatQuantity(reach, "target"), threshold, f.Last)
}

// readStages reads the stages of a canary. A stage is a percentage or an object; durations left out are fallback.
func (p *params) readStages(name string, fallback duration.Duration) []rollout.Stage {
	items := []json.RawMessage{[]byte("10"), []byte("25"), []byte("50"), []byte("100")}
	if raw, given := p.takeField(name); given {
		items = nil
		if err := json.Unmarshal(raw, &items); err != nil || len(items) == 0 || len(items) > maxListItems {
			p.addProblem(name, "must be a list of 1 to %d stages", maxListItems)
			return nil
		}
	}
	var stages []rollout.Stage
	before := 0
	for i, item := range items {
		pointer := name + "/" + strconv.Itoa(i)
		stage := p.readStage(pointer, item, fallback)
		if stage.Percent <= before || stage.Percent > lifecycle.AllTraffic {
			p.addProblem(pointer, "must be more than the stage before it and at most 100")
		}
		before = stage.Percent
		stages = append(stages, stage)
	}
	if before != lifecycle.AllTraffic {
		p.addProblem(name, "the last stage must be 100")
	}
	return stages
}

func (p *params) readStage(pointer string, item json.RawMessage, fallback duration.Duration) rollout.Stage {
	stage := rollout.Stage{Duration: fallback, Promotion: promoteAuto}
	if json.Unmarshal(item, &stage.Percent) == nil && string(item) != "null" {
		return stage
	}
	inner := &params{base: p.base + "/" + pointer}
	if err := json.Unmarshal(item, &inner.fields); err != nil || inner.fields == nil {
		p.addProblem(pointer, "must be a whole percentage or an object with percent, duration and promotion")
		return stage
	}
	stage.Percent = inner.readInteger("percent")
	stage.Duration = inner.readDuration("duration", fallback.Std(), 0)
	stage.Promotion = inner.readChoice("promotion", promoteAuto, promoteAuto, promoteManual)
	inner.rejectUnknown("a stage")
	p.problems = append(p.problems, inner.problems...)
	return stage
}
