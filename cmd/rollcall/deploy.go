package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// deployCmd asks for a deployment.
type deployCmd struct {
	requestFlags `embed:""`
	waitFlags    `embed:""`

	Key string `help:"Name of this very request: repeated with the same key it is the same deployment. Without it each run is a new one." env:"ROLLCALL_KEY"`
}

// Run stores the deployment and, when asked to, follows it.
func (c *deployCmd) Run(ctx context.Context, s *session) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	named := keyFlag{Key: c.Key}
	answer, err := named.change(ctx, s, client.Post("/deployments", body), "")
	if err != nil {
		return err
	}
	return c.followed(ctx, s, answer)
}

// waitFlags say whether to wait for a deployment's end.
type waitFlags struct {
	Wait    bool          `short:"w" help:"Wait for the end; the exit code tells how it went."`
	Timeout time.Duration `help:"How long to wait; 0 is for as long as it takes." default:"0"`
}

// followed shows a deployment as it was answered and, when asked to, waits for its end.
func (w *waitFlags) followed(ctx context.Context, s *session, answer []byte) error {
	var d gen.Deployment
	if err := json.Unmarshal(answer, &d); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if !w.Wait {
		return s.print(answer, func() { shortly(s.out, &d) })
	}
	return s.follow(ctx, d, w.Timeout)
}
