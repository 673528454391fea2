package notify

import (
	"net/url"
	"strings"

	"rollcall/internal/notification"
)

// leastTelling is how short a part of a url may be and still be known to be no secret: such parts occur in any text.
const leastTelling = 6

// notShown stands for what repeats a secret.
const notShown = "not shown, because it repeats a part of the url, the secret or the token"

// hide gives the text, or notShown when it repeats what nobody may read back, in whole or in part.
func hide(text string, secrets *notification.Secrets) string {
	for _, part := range parts(secrets) {
		if len(part) >= leastTelling && strings.Contains(text, part) {
			return notShown
		}
	}
	return text
}

// parts are the secrets and the pieces of the url that somebody may repeat: receivers what they were sent, and this
// machine's resolver and dialer the host.
func parts(secrets *notification.Secrets) []string {
	raw := secrets.URL.Reveal()
	found := append([]string{raw, secrets.Token.Reveal()}, strings.Fields(secrets.Signing.Reveal())...)
	u, err := url.Parse(raw)
	if err != nil {
		return found
	}
	found = append(found, u.Host, u.Hostname())
	for _, path := range []string{u.Path, u.EscapedPath()} {
		found = append(found, strings.Split(path, "/")...)
	}
	for name, values := range u.Query() {
		found = append(append(found, name), values...)
	}
	return append(found, strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == '=' })...)
}
