package api

import (
	"cmp"
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/notification"
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
func notificationJSON(n *notification.Subscription) gen.Notification {
	return gen.Notification{
		Name: n.Name, Kind: gen.NotificationKind(n.Kind), Services: orNone(n.Services), Environments: orNone(n.Environments),
		States:    encodeAll(n.States, func(s *rollout.State) gen.ToldState { return gen.ToldState(*s) }),
		HasSecret: n.Secrets.Signing != "", HasToken: n.Secrets.Token != "", Readable: n.Secrets.Unreadable == "",
		CdeventsVersion: cdeventsShown(n),
		Revision:        n.Revision, CreatedAt: n.CreatedAt.UTC(), UpdatedAt: n.UpdatedAt.UTC(),
	}
}

// cdeventsShown is null for other kinds. One that was made before there was a choice has none stored.
func cdeventsShown(n *notification.Subscription) *gen.CDEventsVersion {
	if n.Kind != notification.KindCDEvents {
		return nil
	}
	version := gen.CDEventsVersion(cmp.Or(n.CDEventsVersion, notification.CDEvents04))
	return &version
}

// orNone keeps a nil list from becoming null.
func orNone(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
