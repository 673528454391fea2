package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// ListNotifications lists who is told, in the order of their names.
func (s *server) ListNotifications(
	ctx context.Context, in gen.ListNotificationsRequestObject,
) (gen.ListNotificationsResponseObject, error) {
	list, err := s.store.Notifications(ctx, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListNotifications200JSONResponse{Items: encodeAll(list.Items, notificationJSON), NextCursor: known(list.NextCursor)}, nil
}
