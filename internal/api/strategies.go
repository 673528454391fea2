package api

import (
	"context"
	"encoding/json"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/strategy"
)

// ListStrategies lists the strategies with their parameters.
func (s *server) ListStrategies(
	context.Context, gen.ListStrategiesRequestObject,
) (gen.ListStrategiesResponseObject, error) {
	kinds := strategy.DescribeAll()
	return gen.ListStrategies200JSONResponse{Items: encodeAll(kinds, kindJSON)}, nil
}

func kindJSON(k *strategy.Description) types.StrategyKind {
	return types.StrategyKind{
		Type: k.Type, Summary: k.Summary, Parameters: encodeAll(k.Parameters, parameterJSON),
	}
}

func parameterJSON(p *strategy.Parameter) types.StrategyParameter {
	fallback := json.RawMessage(p.Default)
	if len(fallback) == 0 {
		fallback = json.RawMessage("null")
	}
	return types.StrategyParameter{Name: p.Name, Type: p.Type, Default: &fallback, Description: p.Description}
}
