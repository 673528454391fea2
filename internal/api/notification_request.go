package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"rollcall/internal/api/types"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// notificationRequest reads the body of PUT /notifications/{name}, whose schema has been checked.
type notificationRequest struct {
	findings
	body *types.NotificationRequest
	// present is nil for a new one.
	present      *notification.Subscription
	checkAddress func(address string) error
}

// read returns the notification that is asked for, with the secrets that the body does not mention.
func (q *notificationRequest) read() notification.Subscription {
	b := q.body
	n := notification.Subscription{
		Kind:     notification.Kind(b.Kind),
		Services: sorted(valueOr(b.Services, nil)), Environments: sorted(valueOr(b.Environments, nil)),
	}
	if q.present != nil && q.present.Kind != n.Kind {
		q.add("/kind", "is %s and cannot be changed; delete the notification or create another", q.present.Kind)
	}
	n.States = q.states(n.Kind)
	n.CDEventsVersion = q.cdeventsVersion(n.Kind)
	n.Secrets = q.secrets(n.Kind)
	return n
}

// cdeventsVersion returns the one asked for, else the older one; other kinds have none.
func (q *notificationRequest) cdeventsVersion(kind notification.Kind) string {
	switch given := q.body.CdeventsVersion; {
	case given != nil && kind != notification.KindCDEvents:
		q.add("/cdevents_version", "is only supported by cdevents notifications")
		return ""
	case kind != notification.KindCDEvents:
		return ""
	default:
		return string(valueOr(given, notification.CDEvents04))
	}
}

// states returns those asked for, else all that the kind has words for, in the order of a deployment's life.
func (q *notificationRequest) states(kind notification.Kind) []rollout.State {
	if q.body.States == nil {
		return kind.States()
	}
	for i, s := range *q.body.States {
		if !slices.Contains(kind.States(), rollout.State(s)) {
			q.add(fmt.Sprintf("/states/%d", i), "is not supported by %s notifications", kind)
		}
	}
	return slices.DeleteFunc(kind.States(), func(s rollout.State) bool {
		return !slices.Contains(*q.body.States, types.NotifiableState(s))
	})
}

// secrets returns those of the body, and those of before that it leaves out. What would go to another address is not kept.
func (q *notificationRequest) secrets(kind notification.Kind) notification.Secrets {
	kept := notification.Secrets{}
	if q.present != nil {
		kept = q.present.Secrets
	}
	url := q.url(kept.URL)
	if url != kept.URL || kept.Unreadable != "" && q.body.URL != nil {
		kept = notification.Secrets{}
	}
	return notification.Secrets{
		URL: url, Unreadable: kept.Unreadable,
		Signing: q.signing(kind, kept.Signing), Token: q.token(kind, kept.Token),
	}
}

// url returns the address of the body, else the one of before. Nothing that is said repeats it.
func (q *notificationRequest) url(present secret.Secret) secret.Secret {
	if q.body.URL == nil {
		if q.present == nil {
			q.add("/url", "is required")
		}
		return present
	}
	u, detail := parseURL(*q.body.URL)
	switch {
	case detail != "":
		q.add("/url", "%s", detail)
	case notification.Kind(q.body.Kind) == notification.KindGitHub && !repositoryURL(u.Path, u.RawQuery):
		q.add("/url", "must be a repository in GitHub's API: https://api.github.com/repos/OWNER/NAME, or https://HOST/api/v3/repos/OWNER/NAME")
	default:
		if err := q.checkAddress(*q.body.URL); err != nil {
			q.add("/url", "host or port not allowed") // the cause could quote it
		}
	}
	return secret.Secret(*q.body.URL)
}

// repositoryURL reports whether a path ends in /repos/OWNER/NAME.
func repositoryURL(path, query string) bool {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	n := len(parts)
	return query == "" && n >= 3 && parts[n-3] == "repos" && parts[n-2] != "" && parts[n-1] != ""
}

func (q *notificationRequest) signing(kind notification.Kind, present secret.Secret) secret.Secret {
	key, given := q.value(q.body.Secret, "/secret", present)
	switch {
	case !given || key == "":
	case !kind.Signed():
		q.add("/secret", "is not supported: %s notifications are not signed", kind)
	default:
		if _, err := secret.SigningKeys(key); err != nil {
			q.add("/secret", `must be "whsec_" and base64, or two of them separated by a space`)
		}
	}
	return key
}

func (q *notificationRequest) token(kind notification.Kind, present secret.Secret) secret.Secret {
	token, given := q.value(q.body.Token, "/token", present)
	switch {
	case given && token != "" && kind != notification.KindGitHub:
		q.add("/token", "is only supported by github notifications")
	case given && strings.ContainsFunc(token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		q.add("/token", "must be visible ASCII characters")
	case token == "" && kind == notification.KindGitHub && len(q.problems) == 0:
		q.add("/token", "is required, and again when the url changes")
	}
	return token
}

// secret is what the body gives, null for none; what it leaves out stays as it was.
func (q *notificationRequest) value(body json.RawMessage, pointer string, present secret.Secret) (value secret.Secret, given bool) {
	if len(body) == 0 {
		return present, false
	}
	var text *string
	if err := json.Unmarshal(body, &text); err != nil {
		q.add(pointer, "must be a string")
	}
	if text == nil {
		return "", true
	}
	if *text == "" || strings.ContainsFunc(*text, unicode.IsControl) {
		q.add(pointer, "must be text without control characters; null removes it")
	}
	return secret.Secret(*text), true
}

// sorted returns a set of names in order.
func sorted(names []types.Name) []string {
	list := []string{}
	for _, name := range names {
		list = append(list, string(name))
	}
	slices.Sort(list)
	return slices.Compact(list)
}
