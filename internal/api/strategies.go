package api

import (
	"context"
	"encoding/json"

	"rollcall/internal/api/gen"
	"rollcall/internal/strategy"
)

// ListStrategies lists the strategies with their parameters.
func (s *server) ListStrategies(
	context.Context, gen.ListStrategiesRequestObject,
) (gen.ListStrategiesResponseObject, error) {
	kinds := strategy.Describe()
	return gen.ListStrategies200JSONResponse{Items: encodeAll(kinds, kindJSON)}, nil
}

func kindJSON(k *strategy.Description) gen.StrategyKind {
	return gen.StrategyKind{
		Type: k.Type, Summary: k.Summary, Parameters: encodeAll(k.Parameters, parameterJSON),
	}
}

func parameterJSON(p *strategy.Parameter) gen.StrategyParameter {
	fallback := json.RawMessage(p.Default)
	if len(fallback) == 0 {
		fallback = json.RawMessage("null")
	}
	return gen.StrategyParameter{Name: p.Name, Type: p.Type, Default: &fallback, Description: p.Description}
}
