package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
)

// GetNotification reads who is told of what.
func (s *server) GetNotification(ctx context.Context, in gen.GetNotificationRequestObject) (gen.GetNotificationResponseObject, error) {
	n, err := s.store.Notification(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.GetNotification200JSONResponse(notificationJSON(&n)), nil
}

// notificationJSON is a notification without what nobody may read back.
func notificationJSON(n *rollout.Notification) gen.Notification {
	return gen.Notification{
		Name: n.Name, Kind: gen.NotificationKind(n.Kind), Services: orNone(n.Services), Environments: orNone(n.Environments),
		States:    encodeAll(n.States, func(s *rollout.State) gen.ToldState { return gen.ToldState(*s) }),
		HasSecret: n.Secrets.Signing != "", HasToken: n.Secrets.Token != "", Readable: n.Secrets.Unreadable == "",
		Revision: n.Revision, CreatedAt: n.CreatedAt.UTC(), UpdatedAt: n.UpdatedAt.UTC(),
	}
}

// orNone keeps a nil list from becoming null.
func orNone(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
