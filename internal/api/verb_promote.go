package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/strategy"
)

// PromoteDeployment goes on past a gate, or past all of them.
func (s *server) PromoteDeployment(
	ctx context.Context, in gen.PromoteDeploymentRequestObject,
) (gen.PromoteDeploymentResponseObject, error) {
	r, err := promotion(in.Body)
	if err != nil {
		return nil, err
	}
	if r.Wave == 0 && !r.Full { // it means the gate at which the deployment stands now, and not when its row is free
		gate, answered, err := s.gates.stood(in.ID, func() (int, error) {
			seen, err := s.store.Deployment(ctx, in.ID)
			return seen.Progress.Gate, err
		})
		defer answered()
		if err != nil {
			return nil, err
		}
		r.Stood = &gate
	}
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, r)
	if err != nil {
		return nil, err
	}
	return gen.PromoteDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}

func promotion(body *gen.Promotion) (strategy.Request, error) {
	r := strategy.Request{Verb: strategy.VerbPromote}
	if body == nil {
		return r, nil
	}
	r.Wave, r.Full, r.Why = or(body.Wave, 0), or(body.Full, false), or(body.Reason, "")
	if r.Full && r.Wave > 0 {
		return r, invalidAt("/wave", "wave and full exclude each other")
	}
	return r, nil
}
