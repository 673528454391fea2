package main

import (
	"context"
	"encoding/json"
	"fmt"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// eventsCmd lists what happened in a deployment.
type eventsCmd struct {
	ref    `embed:""`
	Follow bool `help:"Go on while the deployment does; with --json an event in each line."`
}

// Run lists the events there are, or all that will be.
func (c *eventsCmd) Run(ctx context.Context, s *session) error {
	id, err := c.id(ctx, s)
	if err != nil {
		return err
	}
	path := "/deployments/" + id + "/events"
	if c.Follow {
		return s.stream(ctx, path, nil)
	}
	return listed(ctx, s, path, nil, 0, func(events []gen.Event) {
		for i := range events {
			fmt.Fprintln(s.out, eventLine(&events[i], false))
		}
	})
}

// listed reads a list to its end, or so many of it, and prints it.
func listed[T any](ctx context.Context, s *session, path string, query map[string][]string, most int, show func([]T)) error {
	raw, err := client.Items[json.RawMessage](ctx, s.client, path, query, most)
	if err != nil {
		return err
	}
	items := make([]T, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &items[i]); err != nil {
			return fmt.Errorf("read the list: %w", err)
		}
	}
	return s.printItems(raw, func() { show(items) })
}
