package api

import (
	"context"
	"sync"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/command"
)

// ask carries out a verb whose answer is the deployment itself.
func (s *server) ask(
	ctx context.Context, id string, ifMatch *string, r command.Command,
) (gen.AskedJSONResponse, error) {
	demand, err := newPrecondition(ifMatch, nil)
	if err != nil {
		return gen.AskedJSONResponse{}, err
	}
	r.Actor = caller(ctx)
	d, err := s.commands.Update(ctx, id, 0, func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error) {
		if err := demand.checkDeployment(d); err != nil {
			return nil, err
		}
		if r.Kind == command.Promote {
			if err := authz.AuthorizePromotion(asker(ctx), d); err != nil {
				return nil, err
			}
		}
		return carryOut(d, r, now)
	})
	if err != nil {
		return gen.AskedJSONResponse{}, err
	}
	return s.asked(ctx, &d)
}

// carryOut changes the deployment as the verb asks for, as far as that needs no replica that owns it.
func carryOut(d *rollout.Deployment, r command.Command, now time.Time) ([]rollout.Event, error) {
	events, err := command.Apply(d, r, now)
	if err != nil {
		return nil, err
	}
	return append(events, command.AbortBeforeStart(d, now)...), nil
}

// asked is the answer of a verb: the deployment as it is now.
func (s *server) asked(ctx context.Context, d *rollout.Deployment) (gen.AskedJSONResponse, error) {
	body, err := s.shown(ctx, d)
	return gen.AskedJSONResponse{Body: body, Headers: gen.AskedResponseHeaders{ETag: etag(d.Revision)}}, err
}

// why is the reason given in a body that may be missing.
func why(body *types.Said) string {
	if body == nil {
		return ""
	}
	return or(body.Reason, "")
}

// PauseDeployment lets no more calls start until resume.
func (s *server) PauseDeployment(
	ctx context.Context, in gen.PauseDeploymentRequestObject,
) (gen.PauseDeploymentResponseObject, error) {
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, command.Command{Kind: command.Pause, Reason: why(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.PauseDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}

// ResumeDeployment goes on after a pause.
func (s *server) ResumeDeployment(
	ctx context.Context, in gen.ResumeDeploymentRequestObject,
) (gen.ResumeDeploymentResponseObject, error) {
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, command.Command{Kind: command.Resume, Reason: why(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.ResumeDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}

// PromoteDeployment goes on past a gate, or past all of them.
func (s *server) PromoteDeployment(
	ctx context.Context, in gen.PromoteDeploymentRequestObject,
) (gen.PromoteDeploymentResponseObject, error) {
	r, err := promotion(in.Body)
	if err != nil {
		return nil, err
	}
	if r.Wave == 0 && !r.SkipGates { // it means the gate at which the deployment stands now, and not when its row is free
		gate, answered, err := s.gates.stood(in.ID, func() (int, error) {
			seen, err := s.deployments.Deployment(ctx, in.ID)
			return seen.Progress.Gate, err
		})
		defer answered()
		if err != nil {
			return nil, err
		}
		r.SeenGate = &gate
	}
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, r)
	if err != nil {
		return nil, err
	}
	return gen.PromoteDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}

func promotion(body *types.Promotion) (command.Command, error) {
	r := command.Command{Kind: command.Promote}
	if body == nil {
		return r, nil
	}
	r.Wave, r.SkipGates, r.Reason = or(body.Wave, 0), or(body.Full, false), or(body.Reason, "")
	if r.SkipGates && r.Wave > 0 {
		return r, invalidAt("/wave", "wave and full exclude each other")
	}
	return r, nil
}

// AbortDeployment ends a deployment and leaves every target as it is.
func (s *server) AbortDeployment(
	ctx context.Context, in gen.AbortDeploymentRequestObject,
) (gen.AbortDeploymentResponseObject, error) {
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, command.Command{Kind: command.Abort, Reason: why(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.AbortDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}

// togetherFor is how long after the first of them promotes still mean its gate.
const togetherFor = time.Second

// gates tells promotes that name no gate which one they mean. Those that are under way together mean the same: a later one
// may come to look only when the first has opened that gate and the deployment stands at the next. The zero value is ready.
type gates struct {
	mu     sync.Mutex
	crowds map[string]*crowd
}

// crowd is the promotes of one deployment that are under way.
type crowd struct {
	size int // guarded by the mutex of gates

	mu     sync.Mutex
	gate   int
	seenAt time.Time
}

// stood is the gate at which the deployment stands for this promote. answered must be called when it has its answer, also
// after an error.
func (g *gates) stood(id string, look func() (int, error)) (gate int, answered func(), err error) {
	c := g.join(id)
	answered = func() { g.leave(id, c) }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate > 0 && time.Since(c.seenAt) < togetherFor {
		return c.gate, answered, nil
	}
	gate, err = look()
	c.gate, c.seenAt = gate, time.Now()
	return gate, answered, err
}

func (g *gates) join(id string) *crowd {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, gathered := g.crowds[id]
	if !gathered {
		if g.crowds == nil {
			g.crowds = map[string]*crowd{}
		}
		c = &crowd{}
		g.crowds[id] = c
	}
	c.size++
	return c
}

func (g *gates) leave(id string, c *crowd) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.size--; c.size == 0 {
		delete(g.crowds, id)
	}
}
