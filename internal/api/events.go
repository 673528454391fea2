package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/feed"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
)

// ListEvents lists the events of a deployment, oldest first, or streams them.
func (s *server) ListEvents(ctx context.Context, in gen.ListEventsRequestObject) (gen.ListEventsResponseObject, error) {
	if httpkit.WantsStream(ctx) {
		return s.watchDeployment(ctx, in)
	}
	if in.Params.After != nil {
		return nil, httpkit.InvalidField("/after", "is only for streams; use cursor")
	}
	list, err := s.deployments.Events(ctx, in.ID, pageOf(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListEvents200JSONResponse{
		Items: encodeAll(list.Items, eventJSON), NextCursor: nullable.Of(list.NextCursor),
	}, nil
}

// watchDeployment streams the events of one deployment.
func (s *server) watchDeployment(ctx context.Context, in gen.ListEventsRequestObject) (gen.ListEventsResponseObject, error) {
	switch {
	case in.Params.Limit != nil:
		return nil, httpkit.InvalidField("/limit", "is not supported by streams")
	case in.Params.Cursor != nil:
		return nil, httpkit.InvalidField("/cursor", "is not supported by streams; use after")
	}
	after := resumeAt(in.Params.LastEventID, in.Params.After)
	watcher, err := s.feeds.SubscribeDeployment(ctx, in.ID, valueOr(after, feed.FromStart))
	if err != nil {
		return nil, err
	}
	if in.Params.LastEventID != nil && watcher.Done() {
		watcher.Close()
		return gen.ListEvents204Response{}, nil
	}
	return &stream{ctx: ctx, watcher: watcher}, nil
}

// WatchEvents streams the events of all deployments.
func (s *server) WatchEvents(ctx context.Context, in gen.WatchEventsRequestObject) (gen.WatchEventsResponseObject, error) {
	selected := feed.Selection{
		Service: valueOr(in.Params.Service, ""), Environment: valueOr(in.Params.Environment, ""), Scopes: principalOf(ctx).Scopes,
	}
	watcher, position, err := s.feeds.SubscribeAll(ctx, selected, resumeAt(in.Params.LastEventID, in.Params.After))
	if err != nil {
		return nil, err
	}
	return &stream{ctx: ctx, watcher: watcher, position: strconv.FormatInt(position, 10)}, nil
}

// resumeAt returns the id of the event to start after; nil when the caller names none. The contract guarantees short
// numbers.
func resumeAt(last *types.LastEventID, after *types.AfterEvent) *int64 {
	if last == nil {
		last = after
	}
	if last == nil {
		return nil
	}
	id, err := strconv.ParseInt(*last, 10, 64)
	if err != nil {
		return nil
	}
	return &id
}

func encodeEvent(e *rollout.Event) ([]byte, error) {
	return json.Marshal(eventJSON(e)) //nolint:wrapcheck // the caller says which event
}

// encodeStates encodes deployments as GET shows them.
func (s *server) encodeStates(ctx context.Context, list []rollout.Deployment) ([][]byte, error) {
	all, err := s.presentDeployments(ctx, list)
	if err != nil {
		return nil, err
	}
	encoded := make([][]byte, len(all))
	for i := range all {
		if encoded[i], err = json.Marshal(all[i]); err != nil {
			return nil, fmt.Errorf("encode deployment %s: %w", all[i].ID, err)
		}
	}
	return encoded, nil
}
