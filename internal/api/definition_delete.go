package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/catalog"
)

// DeleteDefinition forgets a definition. Deployments, and what is known of targets, stay.
func (s *server) DeleteDefinition(
	ctx context.Context, in gen.DeleteDefinitionRequestObject,
) (gen.DeleteDefinitionResponseObject, error) {
	demand := precondition{ifMatch: in.Params.IfMatch}
	if err := demand.check(); err != nil {
		return nil, err
	}
	_, err := s.store.Define(ctx, in.Service, in.Environment,
		func(present *catalog.Definition) (*catalog.Definition, error) {
			if present == nil {
				if err := demand.met(0); err != nil {
					return nil, err
				}
				return nil, notFound("there is no definition of " + in.Service + " in " + in.Environment)
			}
			if err := mayChange(ctx, present, false); err != nil {
				return nil, err
			}
			return nil, demand.met(present.Revision)
		})
	if err != nil {
		return nil, err
	}
	return gen.DeleteDefinition204Response{}, nil
}
