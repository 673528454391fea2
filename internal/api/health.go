package api

import (
	"context"
	"errors"

	"rollcall/internal/api/gen"
	"rollcall/internal/problem"
)

// GetHealth reports that the process is alive, whatever else is wrong.
func (s *server) GetHealth(context.Context, gen.GetHealthRequestObject) (gen.GetHealthResponseObject, error) {
	return gen.GetHealth200JSONResponse{Status: "ok"}, nil
}

// GetReady reports whether the server can work; any reason why not is a 503.
func (s *server) GetReady(ctx context.Context, _ gen.GetReadyRequestObject) (gen.GetReadyResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultQueryBudget)
	defer cancel()
	err := s.ready(ctx)
	if err == nil {
		return gen.GetReady200JSONResponse{Status: "ok"}, nil
	}
	message := "server not ready"
	if e, ok := errors.AsType[*problem.Error](err); ok {
		message = e.Message
	}
	return nil, &problem.Error{Code: problem.CodeUnavailable, Message: message, Err: err}
}

// GetIndex returns the name, the version and links.
func (s *server) GetIndex(context.Context, gen.GetIndexRequestObject) (gen.GetIndexResponseObject, error) {
	return gen.GetIndex200JSONResponse{
		Name: "rollcall", Version: s.version,
		Links: map[string]string{
			"deployments": "/deployments", "strategies": "/strategies", "openapi": "/openapi.yaml",
			"health": "/healthz", "ready": "/readyz",
		},
	}, nil
}
