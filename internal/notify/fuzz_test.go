package notify

import (
	"encoding/json"
	"strings"
	"testing"

	"rollcall/internal/notification"
	"rollcall/internal/secret"
)

// FuzzHide: whatever a receiver answers, nothing is shown that repeats its url, its secret or its token.
func FuzzHide(f *testing.F) {
	f.Add("no_service", "https://hooks.example.com/T0/B0/abcdefgh", "whsec_AAAA whsec_BBBB", "ghp_0123456789")
	f.Add("token abcdefgh is wrong", "https://hooks.example.com/T0/B0/abcdefgh?k=v", "", "")
	f.Add("\x00", "://", "%zz", "\xff")
	f.Fuzz(func(t *testing.T, text, url, signing, token string) {
		secrets := notification.Secrets{
			URL: secret.Secret(url), Signing: secret.Secret(signing), Token: secret.Secret(token),
		}
		shown := redactSecrets(text, &secrets)
		if shown == redacted {
			return
		}
		if shown != text {
			t.Fatalf("%q became %q", text, shown)
		}
		for _, secret := range append(strings.Fields(signing), url, token) {
			if len(secret) >= minSensitiveLen && strings.Contains(shown, secret) {
				t.Fatalf("%q shows %q", shown, secret)
			}
		}
	})
}

// FuzzOurs: a deployment at GitHub is this one's only when its payload names it, as an object or as the text of one.
func FuzzOurs(f *testing.F) {
	for _, seed := range []string{`{"deployment_id":"d-1"}`, `"{\"deployment_id\":\"d-1\"}"`, `null`, `""`, `[]`, `{"deployment_id":1}`, `{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if isOurDeployment(payload, "d-1") && (!json.Valid(payload) || !strings.Contains(string(payload), "d-1") && !strings.Contains(string(payload), `\u`)) {
			t.Fatalf("%q is taken for d-1's", payload)
		}
	})
}
