package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// notificationsCmd manages notification receivers.
type notificationsCmd struct {
	List       notificationsListCmd       `cmd:"" help:"List notifications."`
	Show       notificationsShowCmd       `cmd:"" help:"Show one notification."`
	Put        notificationsPutCmd        `cmd:"" help:"Create or replace a notification; its stored url, secret and token are kept."`
	Test       notificationsTestCmd       `cmd:"" help:"Send a test message."`
	Deliveries notificationsDeliveriesCmd `cmd:"" help:"List deliveries, newest first."`
	Delete     notificationsDeleteCmd     `cmd:"" help:"Delete a notification and its pending deliveries."`
}

type notificationsListCmd struct{}

// Run lists the notifications, ordered by name.
func (c *notificationsListCmd) Run(ctx context.Context, a *app) error {
	return printList(ctx, a, "/notifications", nil, 0, func(list []types.Notification) { a.showNotifications(list) })
}

func (a *app) showNotifications(list []types.Notification) {
	t := newTable("NOTIFICATION", "KIND", "SERVICES", "ENVIRONMENTS", "STATES", "")
	for i := range list {
		n := &list[i]
		t.addRow(n.Name, n.Kind, orAll(n.Services), orAll(n.Environments), joinNames(n.States), unreadableNote(n))
	}
	t.writeTo(a.out)
}

// unreadableNote returns why a notification cannot be sent; empty if it can.
func unreadableNote(n *types.Notification) string {
	if !n.Readable {
		return "the server cannot decrypt its url"
	}
	return ""
}

func orAll(names []string) string {
	if len(names) == 0 {
		return "*"
	}
	return joinNames(names)
}

func joinNames[S ~string](list []S) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = string(s)
	}
	return strings.Join(texts, " ")
}

// notificationName names a notification.
type notificationName struct {
	Name string `arg:"" help:"The notification's name."`
}

func (n *notificationName) notificationPath() string {
	return "/notifications/" + url.PathEscape(n.Name)
}

type notificationsShowCmd struct {
	notificationName `embed:""`
}

// Run prints the notification, without its url.
func (c *notificationsShowCmd) Run(ctx context.Context, a *app) error {
	response, err := a.client.Do(ctx, client.Get(c.notificationPath(), nil))
	if err != nil {
		return err
	}
	return a.printNotification(response)
}

func (a *app) printNotification(response []byte) error {
	var n types.Notification
	if err := json.Unmarshal(response, &n); err != nil {
		return fmt.Errorf("read the notification: %w", err)
	}
	return a.printResponse(response, func() { a.showNotifications([]types.Notification{n}) })
}

type notificationsPutCmd struct {
	notificationName `embed:""`

	File        string   `short:"f" help:"File with the notification as YAML or JSON, with the API's fields; - reads standard input. Only the file can set url, secret and token." placeholder:"FILE"`
	Kind        string   `help:"Kind: webhook, slack, cdevents or github."`
	Service     []string `help:"Service to notify about; repeatable (default: the file's, else all)."`
	Environment []string `short:"e" help:"Environment to notify about; repeatable (default: the file's, else all)."`
	State       []string `help:"State to notify about: in_progress, waiting, completed, failed, rolled_back, aborted, superseded; repeatable."`
}

// Run creates or replaces the notification. Its address comes from the file only: other users can see flags.
func (c *notificationsPutCmd) Run(ctx context.Context, a *app) error {
	body, err := readRequest(c.File)
	if err != nil {
		return &usageError{err: err}
	}
	if c.Kind != "" {
		body["kind"] = c.Kind
	}
	for name, values := range map[string][]string{"services": c.Service, "environments": c.Environment, "states": c.State} {
		if len(values) > 0 {
			body[name] = values
		}
	}
	response, err := a.client.Do(ctx, client.Request{Method: http.MethodPut, Path: c.notificationPath(), Body: body})
	if err != nil {
		return err
	}
	return a.printNotification(response)
}

type notificationsTestCmd struct {
	notificationName `embed:""`
	keyFlag          `embed:""`
}

// Run queues a test message, which is then listed with the other deliveries.
func (c *notificationsTestCmd) Run(ctx context.Context, a *app) error {
	response, err := c.sendOnce(ctx, a, client.Post(c.notificationPath()+"/test", nil), "")
	if err != nil {
		return err
	}
	return a.printResponse(response, func() {
		fmt.Fprintf(a.out, "test message queued; see rollcall notifications deliveries %s\n", c.Name)
	})
}

type notificationsDeliveriesCmd struct {
	notificationName `embed:""`

	Limit int `short:"n" help:"Maximum number to list; 0 lists all." default:"20"`
}

// Run lists each delivery with its attempts.
func (c *notificationsDeliveriesCmd) Run(ctx context.Context, a *app) error {
	return printList(ctx, a, c.notificationPath()+"/deliveries", nil, c.Limit, func(list []types.Delivery) {
		t := newTable("DELIVERY", "STATUS", "TYPE", "SERVICE", "ENVIRONMENT", "VERSION", "AT", "")
		for i := range list {
			d := &list[i]
			t.addRow(d.ID, d.Status, d.Type, orDash(d.Service), orDash(d.Environment), orDash(d.Version), formatTime(d.CreatedAt), nextAttempt(d))
			for _, a := range d.Attempts {
				t.addRow("", fmt.Sprintf("attempt %d", a.Attempt), orDash(a.Result), "", "", "", formatTime(a.StartedAt), a.Detail)
			}
		}
		t.writeTo(a.out)
	})
}

// nextAttempt returns when a delivery is retried; empty if it is not.
func nextAttempt(d *types.Delivery) string {
	if d.NextAttemptAt == nil || len(d.Attempts) == 0 {
		return ""
	}
	return "next attempt at " + formatTime(*d.NextAttemptAt)
}

type notificationsDeleteCmd struct {
	notificationName `embed:""`
}

// Run deletes the notification.
func (c *notificationsDeleteCmd) Run(ctx context.Context, a *app) error {
	if _, err := a.client.Do(ctx, client.Request{Method: http.MethodDelete, Path: c.notificationPath()}); err != nil {
		return err
	}
	return a.printResponse([]byte(`{}`), func() { fmt.Fprintf(a.out, "notification %s deleted\n", c.Name) })
}
