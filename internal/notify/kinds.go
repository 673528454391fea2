package notify

import (
	"context"

	"rollcall/internal/notification"
	"rollcall/internal/outbound"
)

// kind tells one sort of receiver.
type kind interface {
	// tell makes the calls of one attempt, and gives what was answered to the last, or to the one that failed.
	tell(ctx context.Context, send sender, c *notification.ClaimedDelivery) outbound.Response
}

// sender makes one call.
type sender func(ctx context.Context, r outbound.Request) outbound.Response

// kinds are all kinds there are. Their links lead to the server at its public URL; without one they have none.
func kinds(publicURL string) map[notification.Kind]kind {
	at := place(publicURL)
	return map[notification.Kind]kind{
		notification.KindWebhook:  webhook{at},
		notification.KindSlack:    slack{at},
		notification.KindCDEvents: cdevents{at},
		notification.KindGitHub:   github{at},
	}
}
