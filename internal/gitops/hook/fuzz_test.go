package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const hookSecret = "sixteen characters"

func hexMAC(body []byte) string {
	m := hmac.New(sha256.New, []byte(hookSecret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// FuzzNotification: whatever is sent, only what is signed with the secret counts as signed, and a push to another branch
// leads to nothing.
func FuzzNotification(f *testing.F) {
	for _, seed := range []string{`{"ref":"refs/heads/main"}`, `{"ref":7}`, `{`, ``, "\xff", `{"ref":"refs/heads/x","ref":"refs/heads/main"}`} {
		f.Add([]byte(seed), "sha256=00", "push")
	}
	f.Fuzz(func(t *testing.T, body []byte, signature, event string) {
		for _, s := range proofSchemes() {
			n := Notification{header: http.Header{http.CanonicalHeaderKey(s.header): {signature}}, body: body, content: formPayload(body)}
			_, password, _ := (&http.Request{Header: n.header}).BasicAuth()
			if n.IsSigned(hookSecret, time.Now()) && signature != hookSecret && password != hookSecret &&
				!strings.HasSuffix(strings.ToLower(signature), hexMAC(body)) &&
				!strings.HasSuffix(strings.ToLower(signature), hexMAC(n.content)) {
				t.Fatalf("%q in %s signs %q", signature, s.header, body)
			}
			if why := SignatureError(n.header).Error(); strings.Contains(why, hookSecret) {
				t.Fatalf("the refusal repeats the secret: %s", why)
			}
		}
		n := Notification{header: http.Header{"X-Github-Event": {event}}, content: body}
		e, err := n.ParseEvent()
		if err != nil {
			return
		}
		if why := e.IrrelevantReason("main"); why == "" && len(e.refs) > 0 && !slices.Contains(e.refs, "refs/heads/main") {
			t.Fatalf("a push to %q leads to a sync", e.refs)
		}
	})
}
