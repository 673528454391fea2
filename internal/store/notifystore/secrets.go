package notifystore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/notification"
	"rollcall/internal/secret"
	"rollcall/internal/store/pg"
	"rollcall/internal/store/sealing"
)

// sealedNotification is what is sealed of a notification. Fields may be added, never renamed or given another type.
type sealedNotification struct {
	URL     string `json:"url,omitempty"`
	Signing string `json:"signing,omitempty"`
	Token   string `json:"token,omitempty"`
}

func sealingContext(id string) string { return "notifications.secrets:" + id }

// sealSecrets returns what is written to the column secrets.
func (s *Store) sealSecrets(n *notification.Subscription) ([]byte, error) {
	if n.Secrets.Unreadable != "" {
		return nil, sealing.UnreadableError("notification")
	}
	return s.sealer.Seal(sealingContext(n.ID), sealedNotification{
		URL: n.Secrets.URL.Reveal(), Signing: n.Secrets.Signing.Reveal(), Token: n.Secrets.Token.Reveal(),
	})
}

// openSecrets returns what sealSecrets has sealed. Unreadable secrets are marked, so that the notification can be seen and nothing is sent.
func (s *Store) openSecrets(id string, sealed []byte) notification.Secrets {
	var kept sealedNotification
	if err := s.sealer.Open(sealingContext(id), sealed, &kept); err != nil {
		return notification.Secrets{Unreadable: err.Error()}
	}
	return notification.Secrets{
		URL: secret.Secret(kept.URL), Signing: secret.Secret(kept.Signing), Token: secret.Secret(kept.Token),
	}
}

// resealSecrets seals the secrets of one notification with the current key.
func (s *Store) resealSecrets(ctx context.Context, tx pgx.Tx, keys []string) error {
	n, err := pg.QueryOne(ctx, tx, s.scanNotification, `SELECT `+notificationColumns+`
		FROM notifications n WHERE n.id = $1 FOR NO KEY UPDATE`, keys[0])
	if err != nil {
		return err
	}
	if why := n.Secrets.Unreadable; why != "" {
		return errors.New(why)
	}
	sealed, err := s.sealSecrets(&n)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE notifications SET secrets = $2 WHERE id = $1`, keys[0], sealed)
	return err //nolint:wrapcheck // wrapped by the caller
}
