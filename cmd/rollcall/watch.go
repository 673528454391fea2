package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// watchCmd follows one deployment to its end, or the events of all deployments until it is interrupted.
type watchCmd struct {
	Deployment  string        `arg:"" optional:"" help:"A deployment's id, or a service for its newest one; without it all are watched."`
	Environment string        `short:"e" help:"Only of this environment; with a service production by default."`
	Timeout     time.Duration `help:"How long to wait for one deployment; 0 is for as long as it takes." default:"0"`
}

// Run watches.
func (c *watchCmd) Run(ctx context.Context, s *session) error {
	if c.Deployment == "" {
		query := url.Values{}
		if c.Environment != "" {
			query.Set("environment", c.Environment)
		}
		return s.stream(ctx, "/events", query)
	}
	r := ref{Deployment: c.Deployment, Environment: c.Environment}
	if r.Environment == "" {
		r.Environment = "production"
	}
	d, err := r.find(ctx, s)
	if err != nil {
		return err
	}
	return s.follow(ctx, d, c.Timeout)
}

// stream prints events as they happen.
func (s *session) stream(ctx context.Context, path string, query url.Values) error {
	return s.client.Stream(ctx, path, query, func(m client.Message) error {
		switch m.Kind {
		case "":
		case "reset":
			fmt.Fprintln(s.notes, "the server's database has lost events: some of those above may never have happened, and what follows may repeat others")
			return nil
		default:
			return nil
		}
		if s.json { // one event in each line
			_, err := fmt.Fprintf(s.out, "%s\n", m.Data)
			return err
		}
		var e gen.Event
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		fmt.Fprintln(s.out, eventLine(&e, path == "/events"))
		return nil
	})
}

// eventLine is an event for people; with the service where more than one may be meant.
func eventLine(e *gen.Event, all bool) string {
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
	return printable(line)
}
