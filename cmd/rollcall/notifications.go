package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// notificationsCmd is about who is told.
type notificationsCmd struct {
	List       notificationsListCmd       `cmd:"" help:"List who is told of what."`
	Show       notificationsShowCmd       `cmd:"" help:"Show one notification."`
	Put        notificationsPutCmd        `cmd:"" help:"Make a notification, or replace all of it but url, secret and token."`
	Test       notificationsTestCmd       `cmd:"" help:"Send a message that tells of nothing."`
	Deliveries notificationsDeliveriesCmd `cmd:"" help:"List what was delivered, or shall be, newest first."`
	Delete     notificationsDeleteCmd     `cmd:"" help:"Forget a notification, and what was still to be delivered."`
}

type notificationsListCmd struct{}

// Run lists them in the order of their names.
func (c *notificationsListCmd) Run(ctx context.Context, s *session) error {
	return listed(ctx, s, "/notifications", nil, 0, func(list []gen.Notification) { s.showNotifications(list) })
}

func (s *session) showNotifications(list []gen.Notification) {
	t := newTable("NOTIFICATION", "KIND", "SERVICES", "ENVIRONMENTS", "STATES", "")
	for i := range list {
		n := &list[i]
		t.row(n.Name, n.Kind, orAll(n.Services), orAll(n.Environments), joined(n.States), complaint(n))
	}
	t.write(s.out)
}

// complaint is what keeps a notification from being sent, in a few words.
func complaint(n *gen.Notification) string {
	if !n.Readable {
		return "the server cannot open its url"
	}
	return ""
}

func orAll(names []string) string {
	if len(names) == 0 {
		return "*"
	}
	return joined(names)
}

func joined[S ~string](words []S) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, " ")
}

// notificationName names a notification.
type notificationName struct {
	Name string `arg:"" help:"The notification's name."`
}

func (n *notificationName) path() string { return "/notifications/" + url.PathEscape(n.Name) }

type notificationsShowCmd struct {
	notificationName `embed:""`
}

// Run shows it; its url is shown to nobody.
func (c *notificationsShowCmd) Run(ctx context.Context, s *session) error {
	answer, err := s.client.Do(ctx, client.Get(c.path(), nil))
	if err != nil {
		return err
	}
	return s.printNotification(answer)
}

func (s *session) printNotification(answer []byte) error {
	var n gen.Notification
	if err := json.Unmarshal(answer, &n); err != nil {
		return fmt.Errorf("read the notification: %w", err)
	}
	return s.print(answer, func() { s.showNotifications([]gen.Notification{n}) })
}

type notificationsPutCmd struct {
	notificationName `embed:""`

	File        string   `short:"f" help:"The notification as YAML or JSON, with the API's own fields; - reads it from the input. The url, the secret and the token come from it alone." placeholder:"FILE"`
	Kind        string   `help:"webhook, slack, cdevents or github."`
	Service     []string `help:"Of which service it is told; repeatable (default: the file's, else all)."`
	Environment []string `short:"e" help:"Of which environment it is told; repeatable (default: the file's, else all)."`
	State       []string `help:"What it is told of: in_progress, waiting, completed, failed, rolled_back, aborted, superseded; repeatable."`
}

// Run makes the notification as the file and the flags say. Where it is comes from the file alone: a flag can be seen by others.
func (c *notificationsPutCmd) Run(ctx context.Context, s *session) error {
	body, err := readRequest(c.File)
	if err != nil {
		return &wrongUseError{err: err}
	}
	if c.Kind != "" {
		body["kind"] = c.Kind
	}
	for name, values := range map[string][]string{"services": c.Service, "environments": c.Environment, "states": c.State} {
		if len(values) > 0 {
			body[name] = values
		}
	}
	answer, err := s.client.Do(ctx, client.Request{Method: http.MethodPut, Path: c.path(), Body: body})
	if err != nil {
		return err
	}
	return s.printNotification(answer)
}

type notificationsTestCmd struct {
	notificationName `embed:""`
	keyFlag          `embed:""`
}

// Run asks for a test; what came of it is listed with the other deliveries.
func (c *notificationsTestCmd) Run(ctx context.Context, s *session) error {
	answer, err := c.change(ctx, s, client.Post(c.path()+"/test", nil), "")
	if err != nil {
		return err
	}
	return s.print(answer, func() {
		fmt.Fprintf(s.out, "a test is on its way; see rollcall notifications deliveries %s\n", c.Name)
	})
}

type notificationsDeliveriesCmd struct {
	notificationName `embed:""`

	Limit int `short:"n" help:"How many at most." default:"20"`
}

// Run lists each delivery, and below it each of its attempts.
func (c *notificationsDeliveriesCmd) Run(ctx context.Context, s *session) error {
	return listed(ctx, s, c.path()+"/deliveries", nil, c.Limit, func(list []gen.Delivery) {
		t := newTable("DELIVERY", "STATUS", "WHAT", "SERVICE", "ENVIRONMENT", "VERSION", "AT", "")
		for i := range list {
			d := &list[i]
			t.row(d.ID, d.Status, d.Type, orDash(d.Service), orDash(d.Environment), orDash(d.Version), clock(d.CreatedAt), again(d))
			for _, a := range d.Attempts {
				t.row("", fmt.Sprintf("attempt %d", a.Attempt), orDash(a.Result), "", "", "", clock(a.StartedAt), a.Detail)
			}
		}
		t.write(s.out)
	})
}

// again is when a delivery is tried next.
func again(d *gen.Delivery) string {
	if d.NextAttemptAt == nil || len(d.Attempts) == 0 {
		return ""
	}
	return "again at " + clock(*d.NextAttemptAt)
}

type notificationsDeleteCmd struct {
	notificationName `embed:""`
}

// Run forgets it.
func (c *notificationsDeleteCmd) Run(ctx context.Context, s *session) error {
	if _, err := s.client.Do(ctx, client.Request{Method: http.MethodDelete, Path: c.path()}); err != nil {
		return err
	}
	return s.print([]byte(`{}`), func() { fmt.Fprintln(s.out, c.Name, "is forgotten") })
}
