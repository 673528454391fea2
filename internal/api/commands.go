package api

import (
	"context"
	"sync"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/command"
)

// runCommand carries out a command whose answer is the deployment itself.
func (s *server) runCommand(
	ctx context.Context, id string, ifMatch *string, r command.Command,
) (gen.CommandAcceptedJSONResponse, error) {
	demand, err := httpkit.NewPrecondition(ifMatch, nil)
	if err != nil {
		return gen.CommandAcceptedJSONResponse{}, err
	}
	r.Actor = principalName(ctx)
	d, err := s.commands.UpdateDeployment(ctx, id, 0, func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error) {
		if err := checkDeployment(demand, d); err != nil {
			return nil, err
		}
		if r.Kind == command.Promote {
			if err := authz.AuthorizePromotion(principalOf(ctx), d); err != nil {
				return nil, err
			}
		}
		return applyCommand(d, r, now)
	})
	if err != nil {
		return gen.CommandAcceptedJSONResponse{}, err
	}
	return s.commandResponse(ctx, &d)
}

// applyCommand records the command in the deployment, and carries it out as far as that needs no owner.
func applyCommand(d *rollout.Deployment, r command.Command, now time.Time) ([]rollout.Event, error) {
	events, err := command.Apply(d, r, now)
	if err != nil {
		return nil, err
	}
	return append(events, command.AbortBeforeStart(d, now)...), nil
}

// commandResponse returns the deployment as it is after a command.
func (s *server) commandResponse(ctx context.Context, d *rollout.Deployment) (gen.CommandAcceptedJSONResponse, error) {
	body, err := s.presentDeployment(ctx, d)
	return gen.CommandAcceptedJSONResponse{Body: body, Headers: gen.CommandAcceptedResponseHeaders{ETag: httpkit.ETag(d.Revision)}}, err
}

// reasonOf returns the reason in an optional body.
func reasonOf(body *types.ReasonBody) string {
	if body == nil {
		return ""
	}
	return valueOr(body.Reason, "")
}

// PauseDeployment starts no more calls until resume.
func (s *server) PauseDeployment(
	ctx context.Context, in gen.PauseDeploymentRequestObject,
) (gen.PauseDeploymentResponseObject, error) {
	answer, err := s.runCommand(ctx, in.ID, in.Params.IfMatch, command.Command{Kind: command.Pause, Reason: reasonOf(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.PauseDeployment200JSONResponse{CommandAcceptedJSONResponse: answer}, nil
}

// ResumeDeployment continues a paused deployment.
func (s *server) ResumeDeployment(
	ctx context.Context, in gen.ResumeDeploymentRequestObject,
) (gen.ResumeDeploymentResponseObject, error) {
	answer, err := s.runCommand(ctx, in.ID, in.Params.IfMatch, command.Command{Kind: command.Resume, Reason: reasonOf(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.ResumeDeployment200JSONResponse{CommandAcceptedJSONResponse: answer}, nil
}

// PromoteDeployment lets a deployment pass a gate, or all of them.
func (s *server) PromoteDeployment(
	ctx context.Context, in gen.PromoteDeploymentRequestObject,
) (gen.PromoteDeploymentResponseObject, error) {
	r, err := readPromotion(in.Body)
	if err != nil {
		return nil, err
	}
	if r.Wave == 0 && !r.SkipGates { // it means the gate at which the deployment stands now, and not when its row is free
		gate, answered, err := s.promotes.gateFor(in.ID, func() (int, error) {
			seen, err := s.deployments.Deployment(ctx, in.ID)
			return seen.Progress.Gate, err
		})
		defer answered()
		if err != nil {
			return nil, err
		}
		r.SeenGate = &gate
	}
	answer, err := s.runCommand(ctx, in.ID, in.Params.IfMatch, r)
	if err != nil {
		return nil, err
	}
	return gen.PromoteDeployment200JSONResponse{CommandAcceptedJSONResponse: answer}, nil
}

func readPromotion(body *types.PromoteRequest) (command.Command, error) {
	r := command.Command{Kind: command.Promote}
	if body == nil {
		return r, nil
	}
	r.Wave, r.SkipGates, r.Reason = valueOr(body.Wave, 0), valueOr(body.Full, false), valueOr(body.Reason, "")
	if r.SkipGates && r.Wave > 0 {
		return r, httpkit.InvalidField("/wave", "mutually exclusive with full")
	}
	return r, nil
}

// AbortDeployment ends a deployment and leaves every target as it is.
func (s *server) AbortDeployment(
	ctx context.Context, in gen.AbortDeploymentRequestObject,
) (gen.AbortDeploymentResponseObject, error) {
	answer, err := s.runCommand(ctx, in.ID, in.Params.IfMatch, command.Command{Kind: command.Abort, Reason: reasonOf(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.AbortDeployment200JSONResponse{CommandAcceptedJSONResponse: answer}, nil
}

// groupWindow is how long after the first of a group promotes still mean its gate.
const groupWindow = time.Second

// promoteGroups resolves the gate of promotes that name none. Concurrent ones mean the same gate: a later one
// may come to look only when the first has opened that gate and the deployment stands at the next. The zero value is ready.
type promoteGroups struct {
	mu     sync.Mutex
	groups map[string]*promoteGroup
}

// promoteGroup is the concurrent promotes of one deployment.
type promoteGroup struct {
	size int // guarded by the mutex of gates

	mu     sync.Mutex
	gate   int
	seenAt time.Time
}

// gateFor returns the gate at which the deployment stands for this promote. answered must be called when it has its answer,
// also after an error.
func (g *promoteGroups) gateFor(id string, look func() (int, error)) (gate int, answered func(), err error) {
	c := g.joinGroup(id)
	answered = func() { g.leaveGroup(id, c) }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate > 0 && time.Since(c.seenAt) < groupWindow {
		return c.gate, answered, nil
	}
	gate, err = look()
	c.gate, c.seenAt = gate, time.Now()
	return gate, answered, err
}

func (g *promoteGroups) joinGroup(id string) *promoteGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, gathered := g.groups[id]
	if !gathered {
		if g.groups == nil {
			g.groups = map[string]*promoteGroup{}
		}
		c = &promoteGroup{}
		g.groups[id] = c
	}
	c.size++
	return c
}

func (g *promoteGroups) leaveGroup(id string, c *promoteGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.size--; c.size == 0 {
		delete(g.groups, id)
	}
}
