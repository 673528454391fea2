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

// readNotification returns the requested notification, with the stored secrets that the body leaves out.
func (q *notificationRequest) readNotification() notification.Subscription {
	b := q.body
	n := notification.Subscription{
		Kind:     notification.Kind(b.Kind),
		Services: sortedNames(valueOr(b.Services, nil)), Environments: sortedNames(valueOr(b.Environments, nil)),
	}
	if q.present != nil && q.present.Kind != n.Kind {
		q.add("/kind", "is %s and cannot be changed; delete the notification or create another", q.present.Kind)
	}
	n.States = q.readStates(n.Kind)
	n.CDEventsVersion = q.cdeventsVersion(n.Kind)
	n.Secrets = q.readSecrets(n.Kind)
	return n
}

// cdeventsVersion returns the requested version, else the older one; other kinds have none.
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

// readStates returns the requested states, else all that the kind supports, in the order of a deployment's life.
func (q *notificationRequest) readStates(kind notification.Kind) []rollout.State {
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

// readSecrets returns the secrets of the body, and the stored ones that it leaves out. They are dropped when the address
// changes.
func (q *notificationRequest) readSecrets(kind notification.Kind) notification.Secrets {
	kept := notification.Secrets{}
	if q.present != nil {
		kept = q.present.Secrets
	}
	url := q.readURL(kept.URL)
	if url != kept.URL || kept.Unreadable != "" && q.body.URL != nil {
		kept = notification.Secrets{}
	}
	return notification.Secrets{
		URL: url, Unreadable: kept.Unreadable,
		Signing: q.readSigningSecret(kind, kept.Signing), Token: q.readToken(kind, kept.Token),
	}
}

// readURL returns the address of the body, else the stored one. Its problems never quote the address.
func (q *notificationRequest) readURL(present secret.Secret) secret.Secret {
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

func (q *notificationRequest) readSigningSecret(kind notification.Kind, present secret.Secret) secret.Secret {
	key, given := q.readSecret(q.body.Secret, "/secret", present)
	switch {
	case !given || key == "":
	case !kind.IsSigned():
		q.add("/secret", "is not supported: %s notifications are not signed", kind)
	default:
		if _, err := secret.SigningKeys(key); err != nil {
			q.add("/secret", `must be "whsec_" and base64, or two of them separated by a space`)
		}
	}
	return key
}

func (q *notificationRequest) readToken(kind notification.Kind, present secret.Secret) secret.Secret {
	token, given := q.readSecret(q.body.Token, "/token", present)
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

// readSecret returns a secret of the body, empty for null; the stored one when the body leaves it out.
func (q *notificationRequest) readSecret(body json.RawMessage, pointer string, present secret.Secret) (value secret.Secret, given bool) {
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

// sortedNames returns a set of names in order.
func sortedNames(names []types.Name) []string {
	list := []string{}
	for _, name := range names {
		list = append(list, string(name))
	}
	slices.Sort(list)
	return slices.Compact(list)
}
