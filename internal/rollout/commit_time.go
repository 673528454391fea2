package rollout

import "time"

// LabelCommitTime is the label that says when a deployment's change was committed to version control, in RFC 3339.
const LabelCommitTime = "commit_time"

// CommittedAt returns when the change was committed to version control, as the label LabelCommitTime says; the zero time when it
// says nothing that is a time.
func (d *Deployment) CommittedAt() time.Time {
	at, err := time.Parse(time.RFC3339, d.Labels[LabelCommitTime])
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
