package api

import (
	"cmp"
	"context"
	"reflect"

	"rollcall/internal/api/gen"
	"rollcall/internal/notification"
)

// PutNotification makes a notification, or changes it.
func (s *server) PutNotification(ctx context.Context, in gen.PutNotificationRequestObject) (gen.PutNotificationResponseObject, error) {
	created := false
	n, err := s.store.DefineNotification(ctx, in.Name, func(present *notification.Subscription) (*notification.Subscription, error) {
		created = present == nil
		q := notificationRequest{body: in.Body, present: present, checkAddress: s.checkAddress}
		next := q.read()
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

// sameNotification reports whether two differ in nothing that a request can say.
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
