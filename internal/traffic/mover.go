package traffic

import (
	"context"
	"errors"
	"time"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// Config is what a Mover needs. The zero Config is usable. Dial is called for "tcp" and, when a deployment names HAProxy's
// socket by its path, for "unix".
type Config = outbound.Config

// Mover moves traffic. It is safe for concurrent use and keeps no connection open between calls.
type Mover struct{ out *outbound.Client }

// New gives a Mover. A Key that cannot sign shows in the answer of each write that it should sign.
func New(c Config) *Mover { return &Mover{out: outbound.New(c)} }

// Set writes call.Setting to the deployment's router once and says what came of it. Where the router can be read back,
// the answer is AnswerDone only when it then agrees; AnswerRetry says that it differs, AnswerLost that it could not be
// read. Write and read together end with ctx, which should carry the deadline call.Until, or after the deployment's
// traffic timeout (0: none), whichever is first. All that goes wrong is in the answer: AnswerNotSent when certainly
// nothing was changed, AnswerLost when nobody can tell.
func (m *Mover) Set(
	ctx context.Context, d *rollout.Deployment, targets []rollout.Target, call rollout.RouterCall,
) rollout.Answer {
	began := time.Now()
	answer := m.set(ctx, position{d, targets, call.Setting}, call)
	answer.Latency = time.Since(began)
	return answer
}

func (m *Mover) set(ctx context.Context, p position, call rollout.RouterCall) rollout.Answer {
	to, err := m.router(p.deployment)
	if err != nil {
		return refused(err.Error())
	}
	ctx, cancel := bounded(ctx, p.deployment)
	defer cancel()
	answer := to.write(ctx, p, call)
	if answer.Kind != rollout.AnswerDone {
		return answer
	}
	differs, err := to.read(ctx, p)
	switch {
	case errors.Is(err, errBlind):
		return answer
	case err != nil:
		return rollout.Answer{Kind: rollout.AnswerLost, Message: "written, but not read back: " + err.Error()}
	case differs != "":
		return rollout.Answer{Kind: rollout.AnswerRetry, Message: "written, but read back " + differs}
	default:
		answer.Message += ", read back"
		return answer
	}
}

// Ask reads what the deployment's router does now and compares it with setting, after a write that got no answer. It is
// bounded like Set. Known is false, and agrees means nothing, when the router cannot be read back or did not answer;
// message says in one line what was found, fit for people.
func (m *Mover) Ask(
	ctx context.Context, d *rollout.Deployment, targets []rollout.Target, setting rollout.Setting,
) (agrees, known bool, message string) {
	to, err := m.router(d)
	if err != nil {
		return false, false, err.Error()
	}
	ctx, cancel := bounded(ctx, d)
	defer cancel()
	differs, err := to.read(ctx, position{d, targets, setting})
	switch {
	case err != nil:
		return false, false, err.Error()
	case differs != "":
		return false, true, "read back " + differs
	default:
		return true, true, "read back as wanted"
	}
}

func bounded(ctx context.Context, d *rollout.Deployment) (context.Context, context.CancelFunc) {
	if timeout := d.Spec.Traffic.Timeout.Std(); timeout > 0 {
		return context.WithTimeout(ctx, timeout)
	}
	return context.WithCancel(ctx)
}

func refused(message string) rollout.Answer {
	return rollout.Answer{Kind: rollout.AnswerRefused, Message: message}
}
