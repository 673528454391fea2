package feed

import (
	"context"
	"fmt"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// deploymentSource is one deployment. Its places are the numbers of its events.
type deploymentSource struct {
	config *Config
	id     string
	seq    int64
	// last is the event with the number seq, once it was read; shown is the state that was read after it.
	last  rollout.EventMark
	shown state
}

// state is what two states of a deployment differ in.
type state struct {
	revision, lastSeq int64
	hash              rollout.Hash
}

func (s *deploymentSource) findStart(ctx context.Context) (int64, error) {
	d, err := s.config.Store.Deployment(ctx, s.id)
	s.seq = max(0, d.LastSeq-pageSize)
	return s.seq, err
}

// readNext reads the deployment and, when it has changed, the events up to that state and no further. The last event that was
// read is read again with them: when it is not there any more, or another one, the database has lost it.
func (s *deploymentSource) readNext(ctx context.Context) (reading, error) {
	d, err := s.config.Store.Deployment(ctx, s.id)
	if problem.CodeOf(err) == problem.CodeNotFound {
		return reading{reset: &beginning{}, ended: true}, nil // it was lost, or is too old to be kept
	}
	now := state{revision: d.Revision, lastSeq: d.LastSeq, hash: d.EventsHash}
	if err != nil || now == s.shown {
		return reading{}, err
	}
	events, there, err := s.eventsSinceLast(ctx, d.LastSeq)
	if err != nil {
		return reading{}, err
	}
	if !there {
		s.seq, s.last, s.shown = 0, rollout.EventMark{}, state{}
		return reading{reset: &beginning{}}, nil
	}
	frames, err := encodeEvents(s.config, events, seqOf)
	if err != nil {
		return reading{}, err
	}
	if n := len(events); n > 0 {
		s.seq, s.last = events[n-1].Seq, events[n-1].Mark()
	}
	if s.seq < d.LastSeq {
		return reading{frames: frames, soon: true}, nil
	}
	states, err := encodeStates(ctx, s.config, []rollout.Deployment{d}, d.LastSeq)
	if err != nil {
		return reading{}, err
	}
	s.seq, s.shown = d.LastSeq, now
	return reading{frames: append(frames, states...), ended: d.State.Terminal()}, nil
}

// eventsSinceLast reads the events after the last one that was read, up to a number. there: that one is still what it was.
func (s *deploymentSource) eventsSinceLast(ctx context.Context, upTo int64) (events []rollout.Event, there bool, err error) {
	if s.last == (rollout.EventMark{}) {
		events, err = s.config.Store.DeploymentEvents(ctx, s.id, s.seq, upTo, pageSize)
		return events, true, err
	}
	events, err = s.config.Store.DeploymentEvents(ctx, s.id, s.seq-1, max(upTo, s.seq), pageSize+1)
	if err != nil || len(events) == 0 || events[0].Mark() != s.last {
		return nil, false, err
	}
	return events[1:], true, nil
}

func (s *deploymentSource) readPage(ctx context.Context, after, upTo int64) ([]*Frame, int64, error) {
	events, err := s.config.Store.DeploymentEvents(ctx, s.id, after, upTo, pageSize)
	if err != nil {
		return nil, after, err
	}
	frames, err := encodeEvents(s.config, events, seqOf)
	return frames, pageEnd(events, upTo, seqOf), err
}

func (s *deploymentSource) findPosition(ctx context.Context, eventID int64) (place int64, known bool, err error) {
	if eventID == FromStart {
		return 0, true, nil
	}
	if known, err = s.config.Store.HasEvent(ctx, eventID); err != nil || !known {
		return 0, known, err
	}
	place, err = s.config.Store.SeqForEventID(ctx, s.id, eventID)
	return place, true, err
}

func seqOf(e *rollout.Event) int64 { return e.Seq }

func encodeEvents(c *Config, events []rollout.Event, place func(*rollout.Event) int64) ([]*Frame, error) {
	frames := make([]*Frame, 0, len(events)+1)
	for i := range events {
		e := &events[i]
		data, err := c.Event(e)
		if err != nil {
			return nil, fmt.Errorf("encode event %d: %w", e.ID, err)
		}
		frames = append(frames, &Frame{
			ID: e.ID, DeploymentID: e.DeploymentID, Service: e.Service, Environment: e.Environment, Data: data, place: place(e),
		})
	}
	return frames, nil
}

func encodeStates(ctx context.Context, c *Config, list []rollout.Deployment, place int64) ([]*Frame, error) {
	encoded, err := c.Deployments(ctx, list)
	if err != nil {
		return nil, err
	}
	frames := make([]*Frame, len(list))
	for i := range list {
		d := &list[i]
		frames[i] = &Frame{DeploymentID: d.ID, Service: d.Service, Environment: d.Environment, Data: encoded[i], place: place}
	}
	return frames, nil
}

// pageEnd returns up to which place a page was read: one that is not full has everything.
func pageEnd(events []rollout.Event, upTo int64, place func(*rollout.Event) int64) int64 {
	if len(events) < pageSize {
		return upTo
	}
	return place(&events[len(events)-1])
}
