package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"rollcall/internal/client"
)

// commandFlags are the flags of every command that acts on a deployment.
type commandFlags struct {
	ref       `embed:""`
	waitFlags `embed:""`
	keyFlag   `embed:""`

	Reason string `short:"m" help:"Reason, for the event log."`
}

// reasonBody returns the body of a command's request.
func (f *commandFlags) reasonBody() map[string]any {
	body := map[string]any{}
	if f.Reason != "" {
		body["reason"] = f.Reason
	}
	return body
}

// sendCommand sends the command and prints or follows the deployment. The command line to repeat it names the deployment by its
// id: by then another one may be the service's newest.
func (f *commandFlags) sendCommand(ctx context.Context, a *app, command string, body map[string]any, flags ...string) error {
	id, err := f.resolveID(ctx, a)
	if err != nil {
		return err
	}
	repeat := strings.Join(append([]string{"rollcall", command, id}, append(flags, f.repeatFlags()...)...), " ")
	response, err := f.sendOnce(ctx, a, client.Post("/deployments/"+id+"/"+command, body), repeat)
	if err != nil {
		return err
	}
	return f.printOrFollow(ctx, a, response)
}

// repeatFlags returns the flags with which the command is repeated.
func (f *commandFlags) repeatFlags() []string {
	if f.Reason == "" {
		return nil
	}
	return []string{fmt.Sprintf("--reason=%q", f.Reason)}
}

// pauseCmd pauses a deployment.
type pauseCmd struct {
	commandFlags `embed:""`
}

// Run sends the command.
func (c *pauseCmd) Run(ctx context.Context, a *app) error {
	return c.sendCommand(ctx, a, "pause", c.reasonBody())
}

// resumeCmd continues a paused deployment.
type resumeCmd struct {
	commandFlags `embed:""`
}

// Run sends the command.
func (c *resumeCmd) Run(ctx context.Context, a *app) error {
	return c.sendCommand(ctx, a, "resume", c.reasonBody())
}

// promoteCmd passes a gate, or all of them.
type promoteCmd struct {
	commandFlags `embed:""`

	Wave int  `help:"The wave whose gate to pass (default: the gate at which the deployment waits)." xor:"what"`
	Full bool `help:"Skip all further gates and bakes." xor:"what"`
}

// Run sends the command. It always names the gate: repeated after a lost response, it must not pass the next one.
func (c *promoteCmd) Run(ctx context.Context, a *app) error {
	body := c.reasonBody()
	if c.Full {
		body["full"] = true
		return c.sendCommand(ctx, a, "promote", body, "--full")
	}
	if c.Wave == 0 {
		d, err := c.findDeployment(ctx, a)
		if err != nil {
			return err
		}
		c.Deployment, c.Wave = d.ID, max(1, d.Progress.Wave)
	}
	body["wave"] = c.Wave
	return c.sendCommand(ctx, a, "promote", body, fmt.Sprintf("--wave=%d", c.Wave))
}

// abortCmd stops a deployment for good.
type abortCmd struct {
	commandFlags `embed:""`
}

// Run sends the command.
func (c *abortCmd) Run(ctx context.Context, a *app) error {
	return c.sendCommand(ctx, a, "abort", c.reasonBody())
}

// retryCmd creates a deployment for the targets that a finished one did not update.
type retryCmd struct {
	commandFlags `embed:""`
}

// Run sends the command.
func (c *retryCmd) Run(ctx context.Context, a *app) error {
	return c.sendCommand(ctx, a, "retry", c.reasonBody())
}

// rollbackCmd restores the previous version of every touched target.
type rollbackCmd struct {
	commandFlags `embed:""`
}

// Run rolls back one deployment, or the latest of a service that touched a target.
func (c *rollbackCmd) Run(ctx context.Context, a *app) error {
	if isID(c.Deployment) {
		return c.sendCommand(ctx, a, "rollback", c.reasonBody())
	}
	path := fmt.Sprintf("/services/%s/environments/%s/rollback", url.PathEscape(c.Deployment), url.PathEscape(c.Environment))
	repeat := strings.Join(append([]string{"rollcall", "rollback", c.Deployment, "--environment=" + c.Environment}, c.repeatFlags()...), " ")
	response, err := c.sendOnce(ctx, a, client.Post(path, c.reasonBody()), repeat)
	if err != nil {
		return err
	}
	return c.printOrFollow(ctx, a, response)
}
