package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/strategy"
)

// PauseDeployment lets no more calls start until resume.
func (s *server) PauseDeployment(
	ctx context.Context, in gen.PauseDeploymentRequestObject,
) (gen.PauseDeploymentResponseObject, error) {
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, strategy.Request{Verb: strategy.VerbPause, Why: why(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.PauseDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}

// ResumeDeployment goes on after a pause.
func (s *server) ResumeDeployment(
	ctx context.Context, in gen.ResumeDeploymentRequestObject,
) (gen.ResumeDeploymentResponseObject, error) {
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, strategy.Request{Verb: strategy.VerbResume, Why: why(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.ResumeDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}
