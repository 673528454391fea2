package main

import (
	"context"

	"rollcall/internal/client"
)

// verbFlags are what every verb takes.
type verbFlags struct {
	ref       `embed:""`
	waitFlags `embed:""`

	Reason string `short:"m" help:"Why, for the event log."`
}

// said is what goes along with a verb.
func (v *verbFlags) said() map[string]any {
	said := map[string]any{}
	if v.Reason != "" {
		said["reason"] = v.Reason
	}
	return said
}

// ask asks it of the deployment, and shows the deployment as it is then.
func (v *verbFlags) ask(ctx context.Context, s *session, verb string, body map[string]any) error {
	id, err := v.id(ctx, s)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(ctx, client.Post("/deployments/"+id+"/"+verb, body))
	if err != nil {
		return err
	}
	return v.followed(ctx, s, answer)
}
