// Package hook reads the push notifications of Git hosts: whether they are signed, and what they are about.
package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/gitops"
	"rollcall/internal/problem"
	"rollcall/internal/secret"
)

// Notification is what a host has sent: the body as it came, and its JSON, which a form carries in a field.
type Notification struct {
	header        http.Header
	body, content []byte
}

// NewNotification returns a notification; form means that the body is a form with the notification as its field
// payload.
func NewNotification(header http.Header, body []byte, form bool) *Notification {
	n := &Notification{header: header, body: body, content: body}
	if form {
		n.content = formPayload(body)
	}
	return n
}

// Digest returns the identity of a notification: it covers the body, and the host's name for the delivery,
// which stays the same when it is delivered again.
func (n *Notification) Digest(delivery string) [32]byte {
	if delivery == "" {
		return sha256.Sum256(n.body)
	}
	content := sha256.Sum256(n.body)
	return sha256.Sum256(append([]byte(delivery+"\x00"), content[:]...))
}

// scheme is one way in which hosts prove that they have the secret.
type scheme struct {
	// header carries the proof, after prefix.
	header, prefix string
	// hosts are those that use it.
	hosts string
	// proves reports whether the rest of the header's value is right for the secret, at a time.
	proves func(n *Notification, secret secret.Secret, value string, now time.Time) bool
}

// proofSchemes lists all schemes. One good proof is enough: some hosts send several, and not all of them of this secret.
func proofSchemes() []scheme {
	return []scheme{
		{"X-Hub-Signature-256", "sha256=", "GitHub", (*Notification).provesHexMAC},
		{"X-Hub-Signature", "sha256=", "Bitbucket", (*Notification).provesHexMAC},
		{"X-Forgejo-Signature", "", "Forgejo", (*Notification).provesHexMAC},
		{"X-Gitea-Signature", "", "Gitea", (*Notification).provesHexMAC},
		{"X-Gogs-Signature", "", "Gogs", (*Notification).provesHexMAC},
		{"Webhook-Signature", "", "v1 of Standard Webhooks: GitLab's signing token", (*Notification).provesStandardWebhook},
		{"X-Gitlab-Token", "", "GitLab's secret token", (*Notification).provesToken},
		{"Authorization", "Basic ", "Azure DevOps and Bitbucket Data Center, with the secret as password", (*Notification).provesPassword},
	}
}

// IsSigned reports whether the notification proves that its sender has the secret.
func (n *Notification) IsSigned(secret secret.Secret, now time.Time) bool {
	return slices.ContainsFunc(proofSchemes(), func(s scheme) bool {
		value, ok := cutPrefixFold(n.header.Get(s.header), s.prefix)
		return ok && value != "" && s.proves(n, secret, value, now)
	})
}

// cutPrefixFold cuts off a prefix in whichever case.
func cutPrefixFold(text, prefix string) (string, bool) {
	if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return "", false
	}
	return text[len(prefix):], true
}

// macOf returns the HMAC-SHA256 of the parts.
func macOf(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// provesHexMAC verifies an HMAC-SHA256 of the body, in hexadecimals. GitHub signs a form as it sends it, Gitea and its relatives
// the JSON in it.
func (n *Notification) provesHexMAC(secret secret.Secret, value string, _ time.Time) bool {
	given, err := hex.DecodeString(value)
	key := []byte(secret.Reveal())
	return err == nil && (hmac.Equal(given, macOf(key, n.body)) || hmac.Equal(given, macOf(key, n.content)))
}

// maxSkew is how far a signed timestamp may be from now.
const maxSkew = 5 * time.Minute

// provesStandardWebhook verifies a signature of Standard Webhooks 1.0, https://www.standardwebhooks.com: one or more,
// separated by spaces, over id, timestamp and body. The key is what follows whsec_, in base64.
func (n *Notification) provesStandardWebhook(secret secret.Secret, _ string, now time.Time) bool {
	key := []byte(secret.Reveal())
	if encoded, ok := strings.CutPrefix(secret.Reveal(), "whsec_"); ok {
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return false
		}
		key = decoded
	}
	id, sent := n.header.Get("Webhook-Id"), n.header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > maxSkew {
		return false
	}
	want := macOf(key, []byte(id+"."+sent+"."), n.body)
	return slices.ContainsFunc(strings.Fields(n.header.Get("Webhook-Signature")), func(signature string) bool {
		encoded, ok := strings.CutPrefix(signature, "v1,")
		given, err := base64.StdEncoding.DecodeString(encoded)
		return ok && err == nil && hmac.Equal(given, want)
	})
}

// provesToken compares a token that is sent as it is.
func (n *Notification) provesToken(secret secret.Secret, value string, _ time.Time) bool {
	return equalSecrets(value, secret.Reveal())
}

// provesPassword verifies the secret as the password of any user.
func (n *Notification) provesPassword(secret secret.Secret, _ string, _ time.Time) bool {
	_, password, ok := (&http.Request{Header: n.header}).BasicAuth()
	return ok && equalSecrets(password, secret.Reveal())
}

// equalSecrets compares two secrets in constant time.
func equalSecrets(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// credentialHeaders returns the headers of a request that look like proof of its sender, sorted.
func credentialHeaders(header http.Header) []string {
	var found []string
	for name := range header {
		lower := strings.ToLower(name)
		if strings.Contains(lower, "signature") || strings.HasSuffix(lower, "-token") || lower == "authorization" {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// SignatureError returns the refusal of a notification. Its text is the same whether or not there is such a source with a
// secret.
func SignatureError(header http.Header) error {
	text := "the notification does not prove that its sender has the source's hook_secret, or the source has none: "
	found := credentialHeaders(header)
	if len(found) == 0 {
		text += "it has no header with a signature"
	} else {
		for i := range found {
			found[i] = describeHeader(found[i], header.Get(found[i]))
		}
		text += "it has " + gitops.TruncateText(strings.Join(found, ", "), gitops.MaxErrorText)
	}
	var known []string
	for _, s := range proofSchemes() {
		known = append(known, s.header+": "+s.prefix+"… ("+s.hosts+")")
	}
	return &problem.Error{Code: problem.CodeBadSignature, Message: text + "; known are " + strings.Join(known, ", ")}
}

// describeHeader names a header, and whether its kind is known, without repeating its value.
func describeHeader(name, value string) string {
	kind, _, cut := strings.Cut(value, "=")
	for _, s := range proofSchemes() {
		if !strings.EqualFold(s.header, name) {
			continue
		}
		if _, ok := cutPrefixFold(value, s.prefix); ok {
			return name + ", which does not match"
		}
	}
	if cut && len(kind) < 10 && !strings.ContainsFunc(kind, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') }) {
		return name + " of the unknown kind " + kind
	}
	return name + " of an unknown kind"
}
