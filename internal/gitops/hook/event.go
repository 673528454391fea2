package hook

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"rollcall/internal/problem"
)

// Event is what a notification is about.
type Event struct {
	// name is the host's own.
	name string
	// Delivery is the host's name for this delivery; empty when it has none.
	Delivery string
	// refs are the references that were pushed to; none when the notification names none that can be compared.
	refs []string
}

// formPayload returns the notification that a form carries.
func formPayload(body []byte) []byte {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return []byte(form.Get("payload"))
}

const pingEvent = "diagnostics:ping"

// IsUnsignedPing reports whether Bitbucket Data Center tries out the connection without a signature, which it does, too.
func IsUnsignedPing(header http.Header) bool {
	return header.Get("X-Event-Key") == pingEvent && len(credentialHeaders(header)) == 0
}

// eventHeaders name the event; deliveryHeaders name the delivery, which stays the same when the host repeats it.
func eventHeaders() []string {
	return []string{"X-GitHub-Event", "X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event", "X-Gitlab-Event", "X-Event-Key"}
}

func deliveryHeaders() []string {
	return []string{
		"X-GitHub-Delivery", "X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery",
		"Idempotency-Key", "Webhook-Id", "X-Gitlab-Event-UUID", // GitLab's, the one that stays the same first
		"X-Request-UUID", // Bitbucket Cloud's
	}
}

// firstHeader returns the first of the headers that is set.
func firstHeader(header http.Header, names []string) string {
	for _, name := range names {
		if value := header.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// ParseEvent reads what the notification is about. CodeInvalid when it is no JSON object.
func (n *Notification) ParseEvent() (Event, error) {
	var fields struct {
		// Ref is GitHub's, GitLab's, Gitea's, Forgejo's and Gogs'.
		Ref string `json:"ref"`
		// Push is Bitbucket Cloud's; a change without New is a removal.
		Push struct {
			Changes []struct{ New, Old *cloudRef } `json:"changes"`
		} `json:"push"`
		// Changes are Bitbucket Data Center's.
		Changes []struct {
			Ref struct {
				ID string `json:"id"`
			} `json:"ref"`
		} `json:"changes"`
		// ID, EventType and Resource are Azure DevOps'.
		ID        any    `json:"id"`
		EventType string `json:"eventType"`
		Resource  struct {
			RefUpdates []struct {
				Name string `json:"name"`
			} `json:"refUpdates"`
		} `json:"resource"`
	}
	trimmed := bytes.TrimLeft(n.content, " \t\r\n")
	if !bytes.HasPrefix(trimmed, []byte("{")) || !json.Valid(trimmed) {
		return Event{}, &problem.Error{Code: problem.CodeInvalid, Message: "the notification is not a JSON object, or not in the form's field payload"}
	}
	_ = json.Unmarshal(trimmed, &fields) // a field of another type counts as missing
	e := Event{name: firstHeader(n.header, eventHeaders()), Delivery: firstHeader(n.header, deliveryHeaders())}
	if e.name == "" {
		e.name = fields.EventType
	}
	switch id, named := fields.ID.(string); {
	case e.Delivery != "":
	case n.header.Get("X-Event-Key") != "": // Bitbucket Data Center; elsewhere proxies set this to another value each time
		e.Delivery = n.header.Get("X-Request-Id")
	case named:
		e.Delivery = id
	}
	refs := []string{fields.Ref}
	for _, c := range fields.Push.Changes {
		for _, ref := range []*cloudRef{c.New, c.Old} {
			refs = append(refs, ref.fullName())
		}
	}
	for _, c := range fields.Changes {
		refs = append(refs, c.Ref.ID)
	}
	for _, u := range fields.Resource.RefUpdates {
		refs = append(refs, u.Name)
	}
	e.refs = slices.DeleteFunc(refs, func(ref string) bool { return ref == "" })
	return e, nil
}

// cloudRef is how Bitbucket Cloud names a branch or a tag.
type cloudRef struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

// fullName returns the reference as Git writes it; empty for none.
func (r *cloudRef) fullName() string {
	switch {
	case r == nil || r.Name == "":
		return ""
	case r.Type == "branch" || r.Type == "named_branch":
		return "refs/heads/" + r.Name
	default:
		return "refs/tags/" + r.Name
	}
}

// IrrelevantReason returns why a notification leads to no sync; empty when it leads to one.
func (e *Event) IrrelevantReason(branch string) string {
	switch strings.ToLower(e.name) {
	case "push", "push hook", "system hook", "repo:push", "repo:refs_changed", "mirror:repo_synchronized", "git.push":
	case pingEvent:
		return "the test of the connection is signed as it should be"
	default:
		return "only pushes lead to a sync"
	}
	if len(e.refs) > 0 && !slices.Contains(e.refs, "refs/heads/"+branch) {
		return "the push was to another branch"
	}
	return ""
}
