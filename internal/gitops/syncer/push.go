package syncer

import (
	"context"
	"net/http"
	"time"

	"rollcall/internal/gitops/hook"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
)

// ReceivePush takes a push notification of a Git host (see package hook) and requests a sync of the source's own branch,
// whatever branch the notification names. It reports whether it has; if not, why. One that does not prove that its sender has
// the source's hook_secret is CodeBadSignature, as is one for a source that does not exist or takes none; one that proves it
// and is no notification is CodeInvalid. form means that the body is a form with the notification as its field payload.
func (s *Syncer) ReceivePush(ctx context.Context, source string, header http.Header, body []byte, form bool) (bool, string, error) {
	if hook.IsUnsignedPing(header) {
		return false, "a test of the connection without a signature: nothing was checked", nil
	}
	report, err := s.Store.SourceWithoutFiles(ctx, source)
	if code := problem.CodeOf(err); err != nil && code != problem.CodeNotFound {
		return false, "", err
	}
	n := hook.NewNotification(header, body, form)
	secret := report.Source.Secrets.HookSecret
	if secret == "" || !n.IsSigned(secret, time.Now()) {
		return false, "", hook.SignatureError(header)
	}
	pushed, err := n.ParseEvent()
	if err != nil {
		return false, "", err
	}
	if why := pushed.IrrelevantReason(report.Source.Branch); why != "" {
		return false, why, nil
	}
	fresh, err := s.Store.RecordPush(ctx, gitsource.Push{Source: source, Digest: n.Digest(pushed.Delivery)})
	if err == nil && !fresh {
		return false, "this notification was delivered before", nil
	}
	return fresh, "", err
}
