package api

import (
	"context"

	"rollcall/internal/notification"
	"rollcall/internal/rollout"
)

// notificationStore is the part of the Store that knows who is told.
type notificationStore interface {
	// Notification is CodeNotFound when there is none.
	Notification(ctx context.Context, name string) (notification.Subscription, error)
	Notifications(ctx context.Context, p rollout.Page) (rollout.List[notification.Subscription], error)
	// DefineNotification replaces the notification by what change makes of the present one (nil: there is none), removes it when
	// change answers nil, and leaves it when change answers what it was given; change is pure.
	DefineNotification(ctx context.Context, name string,
		change func(present *notification.Subscription) (*notification.Subscription, error)) (notification.Subscription, error)
	// Deliveries come newest first, with every attempt.
	Deliveries(ctx context.Context, name string, p rollout.Page) (rollout.List[notification.Delivery], error)
	// TestNotification asks for a delivery that tells of nothing.
	TestNotification(ctx context.Context, name string) (notification.Delivery, error)
}

// Notification is Store.Notification within the limit.
func (b bounded) Notification(ctx context.Context, name string) (notification.Subscription, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Notification(ctx, name)
}

// Notifications is Store.Notifications within the limit.
func (b bounded) Notifications(ctx context.Context, p rollout.Page) (rollout.List[notification.Subscription], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Notifications(ctx, p)
}

// DefineNotification is Store.DefineNotification within the limit.
func (b bounded) DefineNotification(
	ctx context.Context, name string, change func(present *notification.Subscription) (*notification.Subscription, error),
) (notification.Subscription, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.DefineNotification(ctx, name, change)
}

// Deliveries is Store.Deliveries within the limit.
func (b bounded) Deliveries(ctx context.Context, name string, p rollout.Page) (rollout.List[notification.Delivery], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Deliveries(ctx, name, p)
}

// TestNotification is Store.TestNotification within the limit.
func (b bounded) TestNotification(ctx context.Context, name string) (notification.Delivery, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.TestNotification(ctx, name)
}
