package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// deployCmd starts a deployment.
type deployCmd struct {
	requestFlags `embed:""`
	waitFlags    `embed:""`

	Key string `help:"Idempotency key. Re-running with the same key follows the same deployment; without one, each run starts a new deployment." env:"ROLLCALL_KEY"`
}

// Run creates the deployment and, with --wait, follows it.
func (c *deployCmd) Run(ctx context.Context, a *app) error {
	body, err := c.requestBody()
	if err != nil {
		return err
	}
	named := keyFlag{Key: c.Key}
	response, err := named.sendOnce(ctx, a, client.Post("/deployments", body), "")
	if err != nil {
		return err
	}
	return c.printOrFollow(ctx, a, response)
}

// waitFlags are the flags for waiting until a deployment ends.
type waitFlags struct {
	Wait    bool          `short:"w" help:"Wait until the deployment ends; the exit code reports the result."`
	Timeout time.Duration `help:"How long to wait; 0 waits without limit." default:"0"`
}

// printOrFollow prints the deployment of a response or, with --wait, follows it until it ends.
func (w *waitFlags) printOrFollow(ctx context.Context, a *app, response []byte) error {
	var d types.Deployment
	if err := json.Unmarshal(response, &d); err != nil {
		return fmt.Errorf("read the server's response: %w", err)
	}
	if !w.Wait {
		return a.printResponse(response, func() { printSummary(a.out, &d) })
	}
	return a.followDeployment(ctx, d, w.Timeout)
}
