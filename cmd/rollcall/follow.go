package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// askAgain is how long a person who interrupts waits to be told how things stand.
const askAgain = 3 * time.Second

// follow shows a deployment until it has ended. A timeout of 0 is none.
func (s *session) follow(ctx context.Context, d gen.Deployment, timeout time.Duration) error {
	waiting, cancel := ctx, func() {}
	if timeout > 0 {
		waiting, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	v := s.view(&d)
	last, err := s.untilEnd(waiting, d, v)
	v.close()
	switch {
	case err == nil:
		return s.concluded(last)
	case ctx.Err() != nil:
		s.leave(ctx, last, "interrupted")
		return ctx.Err()
	case waiting.Err() != nil:
		s.leave(ctx, last, fmt.Sprintf("it has not ended within %s", timeout))
		return timedOutError{}
	default:
		return err
	}
}

// untilEnd waits for one revision after the other.
func (s *session) untilEnd(ctx context.Context, d gen.Deployment, v view) (gen.Deployment, error) {
	for v.show(d); !client.Ended(&d); v.show(d) {
		newer, err := s.client.Newer(ctx, d.ID, d.Revision)
		if err != nil {
			return d, err
		}
		d = newer
	}
	return d, nil
}

// concluded tells how a deployment ended; the error is the exit code's.
func (s *session) concluded(d gen.Deployment) error {
	whole, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode the deployment: %w", err)
	}
	if err := s.print(whole, func() { s.conclude(&d) }); err != nil {
		return err
	}
	if d.Result == nil || !d.Result.Success {
		return failedError{}
	}
	return nil
}

func (s *session) conclude(d *gen.Deployment) {
	fmt.Fprintf(s.out, "%s: %s after %s: %s\n", title(d), d.State, took(d, time.Now()), printable(d.Reason))
	if d.Result == nil {
		return
	}
	const most = 20
	for i, e := range d.Result.Errors {
		if i == most {
			fmt.Fprintf(s.out, "  … %d more: rollcall targets %s\n", len(d.Result.Errors)-most, d.ID)
			break
		}
		fmt.Fprintf(s.out, "  %s: %s\n", cmp.Or(e.Target, "router"), printable(e.Message))
	}
}

// leave tells a person who waits no longer whether the deployment goes on.
func (s *session) leave(ctx context.Context, d gen.Deployment, why string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askAgain)
	defer cancel()
	now, err := client.Ask[gen.Deployment](ctx, s.client, client.Get("/deployments/"+d.ID, nil))
	switch {
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(s.notes, "rollcall: %s; whether deployment %s goes on is not known: %s\n", why, d.ID, err)
	case err != nil:
		fmt.Fprintf(s.notes, "rollcall: %s; the server does not say how deployment %s stands, nothing has stopped it\n", why, d.ID)
	case client.Ended(&now):
		fmt.Fprintf(s.notes, "rollcall: %s; deployment %s has ended: %s\n", why, d.ID, now.State)
	default:
		fmt.Fprintf(s.notes, "rollcall: %s; deployment %s %s.\n  follow it:  rollcall watch %s\n  stop it:    rollcall abort %s\n",
			why, d.ID, goesOn(&now), d.ID, d.ID)
	}
}

func goesOn(d *gen.Deployment) string {
	if d.NextActionAt == nil && d.State == "paused" {
		return "is paused and waits for you: " + printable(d.Reason)
	}
	return "goes on without you: " + printable(d.Reason)
}
