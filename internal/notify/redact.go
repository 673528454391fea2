package notify

import (
	"net/url"
	"strings"

	"rollcall/internal/notification"
)

// minSensitiveLen is the length from which a part of a url counts as secret: shorter parts occur in any text.
const minSensitiveLen = 6

// redacted replaces a text that repeats a secret.
const redacted = "not shown, because it repeats a part of the url, the secret or the token"

// redactSecrets returns the text, or redacted if it contains a secret or a part of one.
func redactSecrets(text string, secrets *notification.Secrets) string {
	for _, part := range sensitiveParts(secrets) {
		if len(part) >= minSensitiveLen && strings.Contains(text, part) {
			return redacted
		}
	}
	return text
}

// sensitiveParts returns the secrets and the parts of the url that a text may repeat: a receiver's response, or an error of
// the resolver or dialer.
func sensitiveParts(secrets *notification.Secrets) []string {
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
