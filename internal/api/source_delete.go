package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/gitsource"
)

// DeleteSource forgets a source. Deployments, and what runs, stay.
func (s *server) DeleteSource(ctx context.Context, in gen.DeleteSourceRequestObject) (gen.DeleteSourceResponseObject, error) {
	_, err := s.store.DefineSource(ctx, in.Name, func(present *gitsource.Source) (*gitsource.Source, error) {
		if present == nil {
			return nil, notFound("there is no source " + in.Name)
		}
		return nil, nil //nolint:nilnil // none is what is asked for
	})
	if err != nil {
		return nil, err
	}
	return gen.DeleteSource204Response{}, nil
}
