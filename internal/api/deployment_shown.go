package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
)

// shown is a deployment as the API shows it now, with what was looked up about it.
func (s *server) shown(ctx context.Context, d *rollout.Deployment) (gen.Deployment, error) {
	all, err := s.allShown(ctx, []rollout.Deployment{*d})
	if err != nil {
		return gen.Deployment{}, err
	}
	return all[0], nil
}

// allShown is shown for a list, with one look-up for all. Only what has ended can have been rolled back by another.
func (s *server) allShown(ctx context.Context, list []rollout.Deployment) ([]gen.Deployment, error) {
	var ended []string
	for i := range list {
		if list[i].State.Terminal() {
			ended = append(ended, list[i].ID)
		}
	}
	encoded := encodeAll(list, deploymentJSON)
	if len(ended) == 0 {
		return encoded, nil
	}
	by, err := s.store.RolledBackBy(ctx, ended)
	if err != nil {
		return nil, err
	}
	for i := range encoded {
		encoded[i].RolledBackBy = known(by[encoded[i].ID])
	}
	return encoded, nil
}
