package notify

import (
	"context"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
)

// kind is a protocol of receivers.
type kind interface {
	// deliverMessage makes the calls of one attempt, and returns the response to the last, or to the one that failed.
	deliverMessage(ctx context.Context, send sender, c *notification.ClaimedDelivery) egress.Response
}

// sender makes one call.
type sender func(ctx context.Context, r egress.Request) egress.Response

// newKinds returns all kinds. Their links lead to the server's public URL; without one there are none.
func newKinds(url string) map[notification.Kind]kind {
	at := publicURL(url)
	return map[notification.Kind]kind{
		notification.KindWebhook:  webhook{at},
		notification.KindSlack:    slack{at},
		notification.KindCDEvents: cdevents{at},
		notification.KindGitHub:   github{at},
	}
}
