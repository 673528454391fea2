package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// TestNotification has a message delivered that tells of nothing, by whichever replica comes first.
func (s *server) TestNotification(ctx context.Context, in gen.TestNotificationRequestObject) (gen.TestNotificationResponseObject, error) {
	asked, err := s.store.TestNotification(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.TestNotification202JSONResponse(deliveryJSON(&asked)), nil
}
