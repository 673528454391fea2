package main

import (
	"context"
	"fmt"
	"strings"

	"rollcall/internal/client"
)

// verbFlags are what every verb takes.
type verbFlags struct {
	ref       `embed:""`
	waitFlags `embed:""`
	keyFlag   `embed:""`

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

// ask asks it of the deployment, which repeat names by its id, and shows the deployment as it is then.
func (v *verbFlags) ask(ctx context.Context, s *session, verb string, body map[string]any, flags ...string) error {
	id, err := v.id(ctx, s)
	if err != nil {
		return err
	}
	repeat := strings.Join(append([]string{"rollcall", verb, id}, append(flags, v.repeat()...)...), " ")
	answer, err := v.change(ctx, s, client.Post("/deployments/"+id+"/"+verb, body), repeat)
	if err != nil {
		return err
	}
	return v.followed(ctx, s, answer)
}

// repeat is what must be said again when a verb is repeated.
func (v *verbFlags) repeat() []string {
	if v.Reason == "" {
		return nil
	}
	return []string{fmt.Sprintf("--reason=%q", v.Reason)}
}
