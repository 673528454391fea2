package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// lastQueryTimeout bounds the query for the deployment's state after an interrupt.
const lastQueryTimeout = 3 * time.Second

// followDeployment shows a deployment until it has ended, at most for the timeout; 0 sets none.
func (a *app) followDeployment(ctx context.Context, d types.Deployment, timeout time.Duration) error {
	waiting, cancel := ctx, func() {}
	if timeout > 0 {
		waiting, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	v := a.newView(&d)
	last, err := a.waitUntilEnd(waiting, d, v)
	v.close()
	switch {
	case err == nil:
		return a.printResult(last)
	case ctx.Err() != nil:
		a.printInterrupted(ctx, last, "interrupted")
		return ctx.Err()
	case waiting.Err() != nil:
		a.printInterrupted(ctx, last, fmt.Sprintf("timed out after %s", timeout))
		return timedOutError{}
	default:
		return err
	}
}

// waitUntilEnd shows each new revision until the deployment has ended, and returns the last.
func (a *app) waitUntilEnd(ctx context.Context, d types.Deployment, v view) (types.Deployment, error) {
	for v.showDeployment(d); !client.HasEnded(&d); v.showDeployment(d) {
		newer, err := a.client.WaitForChange(ctx, d.ID, d.Revision)
		if err != nil {
			return d, err
		}
		d = newer
	}
	return d, nil
}

// printResult prints how a deployment ended; it returns a failedError if that was not a success.
func (a *app) printResult(d types.Deployment) error {
	whole, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode the deployment: %w", err)
	}
	if err := a.printResponse(whole, func() { a.showResult(&d) }); err != nil {
		return err
	}
	if d.Result == nil || !d.Result.Success {
		return failedError{}
	}
	return nil
}

func (a *app) showResult(d *types.Deployment) {
	fmt.Fprintf(a.out, "%s: %s after %s: %s\n", deploymentTitle(d), d.State, elapsedTime(d, time.Now()), replaceControls(d.Reason))
	if d.Result == nil {
		return
	}
	const maxErrors = 20
	for i, e := range d.Result.Errors {
		if i == maxErrors {
			fmt.Fprintf(a.out, "  … %d more: rollcall targets %s\n", len(d.Result.Errors)-maxErrors, d.ID)
			break
		}
		fmt.Fprintf(a.out, "  %s: %s\n", cmp.Or(e.Target, "router"), replaceControls(e.Message))
	}
}

// printInterrupted prints the state of a deployment that is not followed any more, and how to follow or stop it.
func (a *app) printInterrupted(ctx context.Context, d types.Deployment, cause string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastQueryTimeout)
	defer cancel()
	now, err := client.Call[types.Deployment](ctx, a.client, client.Get("/deployments/"+d.ID, nil))
	switch {
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(a.stderr, "rollcall: %s; the state of deployment %s is unknown: %s\n", cause, d.ID, err)
	case err != nil:
		fmt.Fprintf(a.stderr, "rollcall: %s; could not query deployment %s; it was not cancelled and may still be running\n", cause, d.ID)
	case client.HasEnded(&now):
		fmt.Fprintf(a.stderr, "rollcall: %s; deployment %s has ended: %s\n", cause, d.ID, now.State)
	default:
		fmt.Fprintf(a.stderr, "rollcall: %s; deployment %s %s.\n  follow it:  rollcall watch %s\n  stop it:    rollcall abort %s\n",
			cause, d.ID, describeUnfinished(&now), d.ID, d.ID)
	}
}

func describeUnfinished(d *types.Deployment) string {
	if d.NextActionAt == nil && d.State == "paused" {
		return "is paused and needs a command: " + replaceControls(d.Reason)
	}
	return "is still running: " + replaceControls(d.Reason)
}
