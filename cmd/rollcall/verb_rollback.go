package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"rollcall/internal/client"
)

// rollbackCmd gives every touched target its previous version back.
type rollbackCmd struct {
	verbFlags `embed:""`
}

// Run rolls one deployment back, or the latest of a service that touched a target.
func (c *rollbackCmd) Run(ctx context.Context, s *session) error {
	if isID(c.Deployment) {
		return c.ask(ctx, s, "rollback", c.said())
	}
	path := fmt.Sprintf("/services/%s/environments/%s/rollback", url.PathEscape(c.Deployment), url.PathEscape(c.Environment))
	repeat := strings.Join(append([]string{"rollcall", "rollback", c.Deployment, "--environment=" + c.Environment}, c.repeat()...), " ")
	answer, err := c.change(ctx, s, client.Post(path, c.said()), repeat)
	if err != nil {
		return err
	}
	return c.followed(ctx, s, answer)
}
