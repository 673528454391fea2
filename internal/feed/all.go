package feed

import (
	"context"
	"slices"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// allSource reads all deployments. Its positions are event ids.
type allSource struct {
	config *Config
	tail   storage.EventCursor
	// read are the newest events that were read, oldest first.
	read []rollout.EventMark
}

// keptMarks bounds what a feed knows of the events that it has read. An asynchronous standby is behind by fewer.
const keptMarks = 4096

func (s *allSource) findStart(ctx context.Context) (int64, error) {
	newest, err := s.config.Store.LatestEventID(ctx)
	if err != nil {
		return 0, err
	}
	return newest, s.goTo(ctx, newest)
}

// goTo continues after the event with the id, if it exists.
func (s *allSource) goTo(ctx context.Context, id int64) error {
	s.tail, s.read = storage.EventCursor{After: id}, nil
	last, err := s.config.Store.AllEvents(ctx, id-1, id, 1)
	for i := range last {
		s.tail.MoveTo(&last[i])
		s.read = append(s.read, last[i].Mark())
	}
	return err
}

func (s *allSource) readNext(ctx context.Context) (reading, error) {
	events, tail, err := s.config.Store.EventsAfter(ctx, s.tail, pageSize)
	if problem.CodeOf(err) == problem.CodeOwnershipLost {
		return s.beginAgain(ctx)
	}
	if err != nil {
		return reading{}, err
	}
	frames, err := s.encodeFrames(ctx, events)
	if err != nil {
		return reading{}, err
	}
	s.tail = tail
	for i := range events {
		s.read = append(s.read, events[i].Mark())
	}
	if over := len(s.read) - keptMarks; over > 0 {
		s.read = slices.Clone(s.read[over:])
	}
	return reading{frames: frames, soon: tail.GapEnd > 0 || len(events) == pageSize}, nil
}

// beginAgain goes back to the last event read that still exists; without one it continues from now: the events between are
// lost.
func (s *allSource) beginAgain(ctx context.Context) (reading, error) {
	common, err := s.config.Store.LastCommon(ctx, s.read)
	if err == nil && common == 0 {
		common, err = s.config.Store.LatestEventID(ctx)
	}
	if err == nil {
		err = s.goTo(ctx, common)
	}
	if err != nil {
		return reading{}, err
	}
	return reading{reset: &beginning{place: common, eventID: common}}, nil
}

func (s *allSource) readPage(ctx context.Context, after, upTo int64) ([]*Frame, int64, error) {
	events, err := s.config.Store.AllEvents(ctx, after, upTo, pageSize)
	if err != nil {
		return nil, after, err
	}
	frames, err := s.encodeFrames(ctx, events)
	return frames, pageEnd(events, upTo, idOf), err
}

func (s *allSource) findPosition(ctx context.Context, eventID int64) (place int64, known bool, err error) {
	if eventID == FromStart {
		return FromStart, true, nil
	}
	known, err = s.config.Store.HasEvent(ctx, eventID)
	return eventID, known, err
}

func idOf(e *rollout.Event) int64 { return e.ID }

// encodeFrames returns the events, and after them the states of the deployments that they belong to.
func (s *allSource) encodeFrames(ctx context.Context, events []rollout.Event) ([]*Frame, error) {
	if len(events) == 0 {
		return nil, nil
	}
	frames, err := encodeEvents(s.config, events, idOf)
	if err != nil {
		return nil, err
	}
	list, err := s.config.Store.DeploymentsByID(ctx, deploymentIDs(events))
	if err != nil {
		return nil, err
	}
	states, err := encodeStates(ctx, s.config, list, events[len(events)-1].ID)
	return append(frames, states...), err
}

// deploymentIDs returns the ids of the events' deployments, each once.
func deploymentIDs(events []rollout.Event) []string {
	seen := map[string]bool{}
	var ids []string
	for i := range events {
		if id := events[i].DeploymentID; !seen[id] {
			seen[id], ids = true, append(ids, id)
		}
	}
	return ids
}
