package feed

import "slices"

// Frame is an event, or a deployment's current state, encoded once for all subscriptions.
type Frame struct {
	// ID is the event's id; 0 for a state.
	ID int64
	// What it is of.
	DeploymentID, Service, Environment string
	// Data is the encoded event or state. It must not be changed.
	Data []byte
	// Reset: it is neither. What was seen before may never have happened, because the database has lost its newest part; the
	// frames that follow begin after the event with ID, 0 for the first.
	Reset bool

	// place is the event's place in the feed; a state has that of the last event before it.
	place int64
}

func (f *Frame) isState() bool { return f.ID == 0 && !f.Reset }

// isAfter reports whether a watcher who has seen everything up to the place has not seen the frame.
func (f *Frame) isAfter(place int64) bool { return f.place > place || f.isState() && f.place == place }

// latestStates returns the wanted frames, without the states that newer ones follow.
func latestStates(frames []*Frame, want func(*Frame) bool) []*Frame {
	seen := map[string]bool{}
	var kept []*Frame
	for _, f := range slices.Backward(frames) {
		if !want(f) || f.isState() && seen[f.DeploymentID] {
			continue
		}
		seen[f.DeploymentID] = seen[f.DeploymentID] || f.isState()
		kept = append(kept, f)
	}
	slices.Reverse(kept)
	return kept
}
