package gitops

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
)

// Hook takes a push notification of a Git host (see proofs) and asks for a sync of the source's own branch, whatever the
// notification says. The answer reports whether it does; if not, why. One that does not prove that its sender has the
// source's hook_secret is CodeBadSignature, as is one for a source that is not there or takes none; one that proves it and is
// no notification is CodeInvalid. form says that the body is a form with the notification as its field payload.
func (l *Syncer) Hook(ctx context.Context, source string, header http.Header, body []byte, form bool) (bool, string, error) {
	if isBitbucketPing(header) && len(credentialHeaders(header)) == 0 {
		return false, "a test of the connection without a signature: nothing was checked", nil
	}
	report, err := l.Store.SourceWithoutFiles(ctx, source)
	if code := problem.CodeOf(err); err != nil && code != problem.CodeNotFound {
		return false, "", err
	}
	n := Notification{header: header, body: body, content: body}
	if form {
		n.content = formPayload(body)
	}
	secret := report.Source.Secrets.HookSecret
	if secret == "" || !n.IsSigned(secret, time.Now()) {
		return false, "", SignatureError(header)
	}
	pushed, err := n.ParseEvent()
	if err != nil {
		return false, "", err
	}
	if why := pushed.IrrelevantReason(report.Source.Branch); why != "" {
		return false, why, nil
	}
	fresh, err := l.Store.RecordPush(ctx, gitsource.Push{Source: source, Digest: n.DigestOf(pushed.Delivery)})
	if err == nil && !fresh {
		return false, "this notification was delivered before", nil
	}
	return fresh, "", err
}

// DigestOf returns the identity of a notification: it covers the body, and the name that the host has given the delivery,
// which stays the same when the host delivers it again.
func (n *Notification) DigestOf(delivery string) [32]byte {
	if delivery == "" {
		return sha256.Sum256(n.body)
	}
	content := sha256.Sum256(n.body)
	return sha256.Sum256(append([]byte(delivery+"\x00"), content[:]...))
}
