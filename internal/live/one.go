package live

import (
	"context"
	"fmt"

	"rollcall/internal/rollout"
)

// deploymentSource is one deployment. Its places are the numbers of its events.
type deploymentSource struct {
	config        *Config
	id            string
	seq, revision int64
}

func (s *deploymentSource) begin(ctx context.Context) (int64, error) {
	d, err := s.config.Store.Deployment(ctx, s.id)
	s.seq = max(0, d.LastSeq-pageSize)
	return s.seq, err
}

// next reads the deployment and, when it has changed, the events up to that state and no further.
func (s *deploymentSource) next(ctx context.Context) (reading, error) {
	d, err := s.config.Store.Deployment(ctx, s.id)
	if err != nil || d.Revision == s.revision {
		return reading{}, err
	}
	events, err := s.config.Store.EventsOf(ctx, s.id, s.seq, d.LastSeq, pageSize)
	if err != nil {
		return reading{}, err
	}
	frames, err := encodeEvents(s.config, events, seqOf)
	if err != nil {
		return reading{}, err
	}
	if n := len(events); n > 0 && events[n-1].Seq < d.LastSeq {
		s.seq = events[n-1].Seq
		return reading{frames: frames, soon: true}, nil
	}
	states, err := encodeStates(ctx, s.config, []rollout.Deployment{d}, d.LastSeq)
	if err != nil {
		return reading{}, err
	}
	s.seq, s.revision = d.LastSeq, d.Revision
	return reading{frames: append(frames, states...), ended: d.State.Terminal()}, nil
}

func (s *deploymentSource) page(ctx context.Context, after, upTo int64) ([]*Frame, int64, error) {
	events, err := s.config.Store.EventsOf(ctx, s.id, after, upTo, pageSize)
	if err != nil {
		return nil, after, err
	}
	frames, err := encodeEvents(s.config, events, seqOf)
	return frames, pageEnd(events, upTo, seqOf), err
}

func (s *deploymentSource) place(ctx context.Context, eventID int64) (int64, error) {
	if eventID == Beginning {
		return 0, nil
	}
	return s.config.Store.SeqAt(ctx, s.id, eventID)
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

// pageEnd is up to which place a page was read: one that is not full has everything.
func pageEnd(events []rollout.Event, upTo int64, place func(*rollout.Event) int64) int64 {
	if len(events) < pageSize {
		return upTo
	}
	return place(&events[len(events)-1])
}
