package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/notification"
)

// DeleteNotification forgets a notification, and what was to be delivered to it.
func (s *server) DeleteNotification(
	ctx context.Context, in gen.DeleteNotificationRequestObject,
) (gen.DeleteNotificationResponseObject, error) {
	_, err := s.store.DefineNotification(ctx, in.Name, func(present *notification.Subscription) (*notification.Subscription, error) {
		if present == nil {
			return nil, notFound("there is no notification " + in.Name)
		}
		return nil, nil //nolint:nilnil // none is what is asked for
	})
	if err != nil {
		return nil, err
	}
	return gen.DeleteNotification204Response{}, nil
}
