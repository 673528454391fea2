package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/notification"
)

// ListDeliveries lists what one receiver was told, or shall be, newest first.
func (s *server) ListDeliveries(ctx context.Context, in gen.ListDeliveriesRequestObject) (gen.ListDeliveriesResponseObject, error) {
	list, err := s.store.Deliveries(ctx, in.Name, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListDeliveries200JSONResponse{Items: encodeAll(list.Items, deliveryJSON), NextCursor: known(list.NextCursor)}, nil
}

func deliveryJSON(d *notification.Delivery) gen.Delivery {
	m := &d.Message
	return gen.Delivery{
		ID: d.ID, Type: m.Type, DeploymentID: known(m.DeploymentID), Service: known(m.Service), Environment: known(m.Environment),
		Version: known(m.Version), Status: gen.DeliveryStatus(d.Status), CreatedAt: d.CreatedAt.UTC(),
		NextAttemptAt: moment(d.NextAttemptAt), FinishedAt: moment(d.FinishedAt),
		Attempts: encodeAll(d.Attempts, func(a *notification.Attempt) gen.DeliveryAttempt {
			return gen.DeliveryAttempt{
				Attempt: a.Attempt, Replica: a.Replica, StartedAt: a.StartedAt.UTC(), FinishedAt: moment(a.FinishedAt),
				Result: known(string(a.Result)), Detail: a.Detail,
			}
		}),
	}
}
