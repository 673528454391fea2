package live

import (
	"context"

	"rollcall/internal/rollout"
)

// everySource is all deployments. Its places are the ids of events.
type everySource struct {
	config *Config
	tail   rollout.Tail
}

func (s *everySource) begin(ctx context.Context) (int64, error) {
	newest, err := s.config.Store.EndOfEvents(ctx)
	s.tail = rollout.Tail{After: newest}
	return newest, err
}

func (s *everySource) next(ctx context.Context) (reading, error) {
	events, tail, err := s.config.Store.ReadTail(ctx, s.tail, pageSize)
	if err != nil {
		return reading{}, err
	}
	frames, err := s.frames(ctx, events)
	if err != nil {
		return reading{}, err
	}
	s.tail = tail
	return reading{frames: frames, soon: tail.UpTo > 0 || len(events) == pageSize}, nil
}

func (s *everySource) page(ctx context.Context, after, upTo int64) ([]*Frame, int64, error) {
	events, err := s.config.Store.EventsOfAll(ctx, after, upTo, pageSize)
	if err != nil {
		return nil, after, err
	}
	frames, err := s.frames(ctx, events)
	return frames, pageEnd(events, upTo, idOf), err
}

func (s *everySource) place(_ context.Context, eventID int64) (int64, error) { return eventID, nil }

func idOf(e *rollout.Event) int64 { return e.ID }

// frames are the events, and after them the states of the deployments that they tell of.
func (s *everySource) frames(ctx context.Context, events []rollout.Event) ([]*Frame, error) {
	if len(events) == 0 {
		return nil, nil
	}
	frames, err := encodeEvents(s.config, events, idOf)
	if err != nil {
		return nil, err
	}
	list, err := s.config.Store.DeploymentsByID(ctx, told(events))
	if err != nil {
		return nil, err
	}
	states, err := encodeStates(ctx, s.config, list, events[len(events)-1].ID)
	return append(frames, states...), err
}

// told are the ids of the deployments that events tell of, each once.
func told(events []rollout.Event) []string {
	seen := map[string]bool{}
	var ids []string
	for i := range events {
		if id := events[i].DeploymentID; !seen[id] {
			seen[id], ids = true, append(ids, id)
		}
	}
	return ids
}
