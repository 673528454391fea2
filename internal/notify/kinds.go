package notify

import (
	"context"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// kind tells one sort of receiver.
type kind interface {
	// tell makes the calls of one attempt, and gives what was answered to the last, or to the one that failed.
	tell(ctx context.Context, send sender, c *rollout.ClaimedDelivery) outbound.Response
}

// sender makes one call.
type sender func(ctx context.Context, r outbound.Request) outbound.Response

// kinds are all kinds there are. Their links lead to the server at its public URL; without one they have none.
func kinds(publicURL string) map[rollout.NotificationKind]kind {
	at := place(publicURL)
	return map[rollout.NotificationKind]kind{
		rollout.NotificationWebhook:  webhook{at},
		rollout.NotificationSlack:    slack{at},
		rollout.NotificationCDEvents: cdevents{at},
		rollout.NotificationGitHub:   github{at},
	}
}
