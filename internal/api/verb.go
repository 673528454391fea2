package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// ask carries out a verb whose answer is the deployment itself.
func (s *server) ask(
	ctx context.Context, id string, ifMatch *string, r strategy.Request,
) (gen.AskedJSONResponse, error) {
	demand, err := readIfMatch(ifMatch)
	if err != nil {
		return gen.AskedJSONResponse{}, err
	}
	r.Actor = caller(ctx)
	d, err := s.store.Update(ctx, id, 0, func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error) {
		if err := demand.met(d); err != nil {
			return nil, err
		}
		if r.Verb == strategy.VerbPromote {
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
func carryOut(d *rollout.Deployment, r strategy.Request, now time.Time) ([]rollout.Event, error) {
	events, err := strategy.Ask(d, r, now)
	if err != nil {
		return nil, err
	}
	return append(events, strategy.CallOff(d, now)...), nil
}

// asked is the answer of a verb: the deployment as it is now.
func (s *server) asked(ctx context.Context, d *rollout.Deployment) (gen.AskedJSONResponse, error) {
	body, err := s.shown(ctx, d)
	return gen.AskedJSONResponse{Body: body, Headers: gen.AskedResponseHeaders{ETag: etag(d.Revision)}}, err
}

// why is the reason given in a body that may be missing.
func why(body *gen.Said) string {
	if body == nil {
		return ""
	}
	return or(body.Reason, "")
}
