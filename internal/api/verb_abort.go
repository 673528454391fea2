package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/strategy"
)

// AbortDeployment ends a deployment and leaves every target as it is.
func (s *server) AbortDeployment(
	ctx context.Context, in gen.AbortDeploymentRequestObject,
) (gen.AbortDeploymentResponseObject, error) {
	answer, err := s.ask(ctx, in.ID, in.Params.IfMatch, strategy.Request{Verb: strategy.VerbAbort, Why: why(in.Body)})
	if err != nil {
		return nil, err
	}
	return gen.AbortDeployment200JSONResponse{AskedJSONResponse: answer}, nil
}
