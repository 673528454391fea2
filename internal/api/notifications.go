package api

import (
	"cmp"
	"context"
	"reflect"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/notification"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
)

// GetNotification reads a notification.
func (s *server) GetNotification(ctx context.Context, in gen.GetNotificationRequestObject) (gen.GetNotificationResponseObject, error) {
	n, err := s.notifications.Notification(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.GetNotification200JSONResponse(notificationJSON(&n)), nil
}

// notificationJSON returns a notification without its secrets.
func notificationJSON(n *notification.Subscription) types.Notification {
	return types.Notification{
		Name: n.Name, Kind: types.NotificationKind(n.Kind), Services: emptyIfNil(n.Services), Environments: emptyIfNil(n.Environments),
		States:    encodeAll(n.States, func(s *rollout.State) types.NotifiableState { return types.NotifiableState(*s) }),
		HasSecret: n.Secrets.Signing != "", HasToken: n.Secrets.Token != "", Readable: n.Secrets.Unreadable == "",
		CdeventsVersion: cdeventsShown(n),
		Revision:        n.Revision, CreatedAt: n.CreatedAt.UTC(), UpdatedAt: n.UpdatedAt.UTC(),
	}
}

// cdeventsShown returns nil for other kinds. One that was made before there was a choice has none stored.
func cdeventsShown(n *notification.Subscription) *types.CDEventsVersion {
	if n.Kind != notification.KindCDEvents {
		return nil
	}
	version := types.CDEventsVersion(cmp.Or(n.CDEventsVersion, notification.CDEvents04))
	return &version
}

// emptyIfNil keeps a nil list from becoming null.
func emptyIfNil(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// ListNotifications lists the receivers, in the order of their names.
func (s *server) ListNotifications(
	ctx context.Context, in gen.ListNotificationsRequestObject,
) (gen.ListNotificationsResponseObject, error) {
	list, err := s.notifications.Notifications(ctx, pageOf(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListNotifications200JSONResponse{Items: encodeAll(list.Items, notificationJSON), NextCursor: nullable.Of(list.NextCursor)}, nil
}

// PutNotification creates or updates a notification.
func (s *server) PutNotification(ctx context.Context, in gen.PutNotificationRequestObject) (gen.PutNotificationResponseObject, error) {
	created := false
	n, err := s.notifications.UpdateNotification(ctx, in.Name, func(present *notification.Subscription) (*notification.Subscription, error) {
		created = present == nil
		q := notificationRequest{body: in.Body, present: present, checkAddress: s.checkAddress}
		next := q.readNotification()
		if err := q.err(); err != nil {
			return present, err
		}
		if present != nil && sameNotification(present, &next) {
			return present, nil
		}
		return &next, nil
	})
	if err != nil {
		return nil, err
	}
	if created {
		return gen.PutNotification201JSONResponse{
			Body: notificationJSON(&n), Headers: gen.PutNotification201ResponseHeaders{Location: "/notifications/" + in.Name},
		}, nil
	}
	return gen.PutNotification200JSONResponse(notificationJSON(&n)), nil
}

// sameNotification reports whether two are equal in all that a request can set.
func sameNotification(a, b *notification.Subscription) bool {
	x, y := *a, *b
	for _, n := range []*notification.Subscription{&x, &y} {
		if n.Kind == notification.KindCDEvents {
			n.CDEventsVersion = cmp.Or(n.CDEventsVersion, notification.CDEvents04)
		}
		n.ID, n.Name, n.Revision, n.CreatedAt, n.UpdatedAt = "", "", 0, b.CreatedAt, b.UpdatedAt
	}
	return reflect.DeepEqual(x, y)
}

// DeleteNotification deletes a notification and its pending deliveries.
func (s *server) DeleteNotification(
	ctx context.Context, in gen.DeleteNotificationRequestObject,
) (gen.DeleteNotificationResponseObject, error) {
	_, err := s.notifications.UpdateNotification(ctx, in.Name, func(present *notification.Subscription) (*notification.Subscription, error) {
		if present == nil {
			return nil, errNotFound("no notification " + in.Name)
		}
		return nil, nil //nolint:nilnil // none is what is asked for
	})
	if err != nil {
		return nil, err
	}
	return gen.DeleteNotification204Response{}, nil
}

// TestNotification requests that a replica delivers a test message.
func (s *server) TestNotification(ctx context.Context, in gen.TestNotificationRequestObject) (gen.TestNotificationResponseObject, error) {
	asked, err := s.notifications.TestNotification(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.TestNotification202JSONResponse(deliveryJSON(&asked)), nil
}

// ListDeliveries lists the deliveries of one notification, newest first.
func (s *server) ListDeliveries(ctx context.Context, in gen.ListDeliveriesRequestObject) (gen.ListDeliveriesResponseObject, error) {
	list, err := s.notifications.Deliveries(ctx, in.Name, pageOf(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListDeliveries200JSONResponse{Items: encodeAll(list.Items, deliveryJSON), NextCursor: nullable.Of(list.NextCursor)}, nil
}

func deliveryJSON(d *notification.Delivery) types.Delivery {
	m := &d.Message
	return types.Delivery{
		ID: d.ID, Type: m.Type, DeploymentID: nullable.Of(m.DeploymentID), Service: nullable.Of(m.Service), Environment: nullable.Of(m.Environment),
		Version: nullable.Of(m.Version), Status: types.DeliveryStatus(d.Status), CreatedAt: d.CreatedAt.UTC(),
		NextAttemptAt: nullable.Time(d.NextAttemptAt), FinishedAt: nullable.Time(d.FinishedAt),
		Attempts: encodeAll(d.Attempts, func(a *notification.Attempt) types.DeliveryAttempt {
			return types.DeliveryAttempt{
				Attempt: a.Attempt, Replica: a.Replica, StartedAt: a.StartedAt.UTC(), FinishedAt: nullable.Time(a.FinishedAt),
				Result: nullable.Of(string(a.Result)), Detail: a.Detail,
			}
		}),
	}
}
