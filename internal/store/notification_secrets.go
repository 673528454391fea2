package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
	"rollcall/internal/seal"
)

// sealedNotification is what is sealed of a notification. Fields may be added, never renamed or given another type.
type sealedNotification struct {
	URL     string `json:"url,omitempty"`
	Signing string `json:"signing,omitempty"`
	Token   string `json:"token,omitempty"`
}

func placeOfNotification(id string) string { return "notifications.secrets:" + id }

// sealNotification gives what is written to the column secrets.
func (s *Store) sealNotification(n *rollout.Notification) ([]byte, error) {
	if n.Secrets.Unreadable != "" {
		return nil, &rollout.Error{
			Code: rollout.CodeConflict, Message: "the notification's secrets were sealed with a key that this server does not have",
		}
	}
	encoded, err := json.Marshal(sealedNotification{
		URL: n.Secrets.URL.Reveal(), Signing: n.Secrets.Signing.Reveal(), Token: n.Secrets.Token.Reveal(),
	})
	if err != nil {
		return nil, fmt.Errorf("encode the secrets of notification %s: %w", n.Name, err)
	}
	sealed, err := s.box.Seal(placeOfNotification(n.ID), encoded)
	if errors.Is(err, seal.ErrNoKey) {
		return nil, &rollout.Error{
			Code: rollout.CodeInvalid, Message: "the url of a notification is a secret, and " + seal.ErrNoKey.Error(),
		}
	}
	return sealed, err //nolint:wrapcheck // it names the place
}

// openNotification is the way back. What cannot be opened is said, so that the notification can be seen and is not sent to.
func (s *Store) openNotification(id string, sealed []byte) rollout.NotificationSecrets {
	encoded, err := s.box.Open(placeOfNotification(id), sealed)
	if err != nil {
		return rollout.NotificationSecrets{Unreadable: err.Error()}
	}
	var kept sealedNotification
	if err := json.Unmarshal(encoded, &kept); err != nil {
		return rollout.NotificationSecrets{Unreadable: "what was sealed are no secrets of a notification"} // the cause could quote them
	}
	return rollout.NotificationSecrets{
		URL: rollout.Secret(kept.URL), Signing: rollout.Secret(kept.Signing), Token: rollout.Secret(kept.Token),
	}
}

// resealNotification seals the secrets of one notification with the current key.
func resealNotification(ctx context.Context, s *Store, tx pgx.Tx, keys []string) error {
	n, err := one(ctx, tx, s.scanNotification, `SELECT `+notificationColumns+`
		FROM notifications n WHERE n.id = $1 FOR NO KEY UPDATE`, keys[0])
	if err != nil {
		return err
	}
	if why := n.Secrets.Unreadable; why != "" {
		return errors.New(why)
	}
	sealed, err := s.sealNotification(&n)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE notifications SET secrets = $2 WHERE id = $1`, keys[0], sealed)
	return err //nolint:wrapcheck // said by the caller
}
