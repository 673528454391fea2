package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// watchCmd follows one deployment until it ends, or the events of all deployments until it is interrupted.
type watchCmd struct {
	Deployment  string        `arg:"" optional:"" help:"A deployment's id, or a service for its newest one (default: all deployments)."`
	Environment string        `short:"e" help:"Only this environment (default: all; for a service, production)."`
	Timeout     time.Duration `help:"How long to follow one deployment; 0 sets no limit." default:"0"`
}

// Run follows the deployment or the events.
func (c *watchCmd) Run(ctx context.Context, a *app) error {
	if c.Deployment == "" {
		query := url.Values{}
		if c.Environment != "" {
			query.Set("environment", c.Environment)
		}
		return a.streamEvents(ctx, "/events", query)
	}
	r := ref{Deployment: c.Deployment, Environment: c.Environment}
	if r.Environment == "" {
		r.Environment = "production"
	}
	d, err := r.findDeployment(ctx, a)
	if err != nil {
		return err
	}
	return a.followDeployment(ctx, d, c.Timeout)
}

// streamEvents prints events as they arrive.
func (a *app) streamEvents(ctx context.Context, path string, query url.Values) error {
	return a.client.Stream(ctx, path, query, func(m client.Message) error {
		switch m.Kind {
		case "":
		case "reset":
			fmt.Fprintln(a.stderr, "the server's database has lost events: some of the events above may be void, and some of the following may be repeated")
			return nil
		default:
			return nil
		}
		if a.json { // one event in each line
			_, err := fmt.Fprintf(a.out, "%s\n", m.Data)
			return err
		}
		var e types.Event
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		fmt.Fprintln(a.out, eventLine(&e, path == "/events"))
		return nil
	})
}

// eventLine formats an event, with its service in a list of several.
func eventLine(e *types.Event, all bool) string {
	line := e.At.Local().Format("15:04:05.000")
	if all {
		line += fmt.Sprintf("  %s in %s", e.Service, e.Environment)
	}
	line += fmt.Sprintf("  %4d  %-24s", e.Seq, e.Type)
	if e.Target != nil {
		line += "  " + *e.Target
	}
	if e.From != nil && e.To != nil {
		line += fmt.Sprintf("  %s → %s", *e.From, *e.To)
	}
	if e.Message != "" {
		line += "  " + e.Message
	}
	if e.Actor != "engine" {
		line += "  by " + e.Actor
	}
	return replaceControls(line)
}
