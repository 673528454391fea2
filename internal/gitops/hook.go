package gitops

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"rollcall/internal/rollout"
)

// Hook takes a push notification of GitHub, GitLab, Gitea or Forgejo and asks for a sync of the source's own branch,
// whatever the notification says. The answer tells whether it does; if not, why. One that is not signed with the source's
// hook_secret is CodeUnsigned, as is one for a source that is not there or takes none.
func (l *Loop) Hook(ctx context.Context, source string, header http.Header, body []byte) (bool, string, error) {
	report, err := l.Store.SourceWithoutFiles(ctx, source)
	if code := rollout.ErrorCode(err); err != nil && code != rollout.CodeNotFound {
		return false, "", err
	}
	secret := report.Source.Secrets.HookSecret
	if secret == "" || !signed(secret, header, body) {
		return false, "", &rollout.Error{
			Code: rollout.CodeUnsigned, Message: "the notification is not signed with the source's hook_secret, or the source has none",
		}
	}
	if why := irrelevant(header, body, report.Source.Branch); why != "" {
		return false, why, nil
	}
	fresh, err := l.Store.TakePush(ctx, rollout.Push{Source: source, Digest: sha256.Sum256(body)})
	if err == nil && !fresh {
		return false, "this notification was delivered before", nil
	}
	return fresh, "", err
}

// signed checks the signature of whichever host has sent the body. GitHub, Gitea and Forgejo sign it with HMAC-SHA256;
// GitLab sends the secret itself.
func signed(secret rollout.Secret, header http.Header, body []byte) bool {
	if token := header.Get("X-Gitlab-Token"); token != "" {
		given, known := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(secret.Reveal()))
		return subtle.ConstantTimeCompare(given[:], known[:]) == 1
	}
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write(body)
	for _, name := range []string{"X-Hub-Signature-256", "X-Forgejo-Signature", "X-Gitea-Signature"} {
		given, err := hex.DecodeString(strings.TrimPrefix(header.Get(name), "sha256="))
		if err == nil && len(given) > 0 {
			return hmac.Equal(given, mac.Sum(nil))
		}
	}
	return false
}

// irrelevant says why a notification leads to no sync; empty when it does.
func irrelevant(header http.Header, body []byte, branch string) string {
	event := ""
	for _, name := range []string{"X-GitHub-Event", "X-Forgejo-Event", "X-Gitea-Event", "X-Gitlab-Event"} {
		if event == "" {
			event = header.Get(name)
		}
	}
	switch event {
	case "push", "Push Hook", "System Hook":
	default:
		return "only pushes lead to a sync"
	}
	var push struct {
		Ref string `json:"ref"`
	}
	if json.Unmarshal(body, &push) == nil && push.Ref != "" && push.Ref != "refs/heads/"+branch {
		return "the push was to another branch"
	}
	return ""
}
