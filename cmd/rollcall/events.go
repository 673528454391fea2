package main

import (
	"context"
	"encoding/json"
	"fmt"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// eventsCmd lists the events of a deployment.
type eventsCmd struct {
	ref    `embed:""`
	Follow bool `help:"Follow new events until the deployment ends; with --json, one event a line."`
}

// Run lists the stored events, or follows them.
func (c *eventsCmd) Run(ctx context.Context, a *app) error {
	id, err := c.resolveID(ctx, a)
	if err != nil {
		return err
	}
	path := "/deployments/" + id + "/events"
	if c.Follow {
		return a.streamEvents(ctx, path, nil)
	}
	return printList(ctx, a, path, nil, 0, func(events []types.Event) {
		for i := range events {
			fmt.Fprintln(a.out, eventLine(&events[i], false))
		}
	})
}

// printList reads a list, at most limit items unless that is 0, and prints it.
func printList[T any](ctx context.Context, a *app, path string, query map[string][]string, limit int, show func([]T)) error {
	raw, err := client.List[json.RawMessage](ctx, a.client, path, query, limit)
	if err != nil {
		return err
	}
	items := make([]T, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &items[i]); err != nil {
			return fmt.Errorf("read the list: %w", err)
		}
	}
	return a.printItems(raw, func() { show(items) })
}
