package rollout

import "time"

// LabelCommitTime is the label that says when a deployment's change was committed to version control, in RFC 3339.
const LabelCommitTime = "commit_time"

// CommittedAt is when the change was committed to version control, as the label LabelCommitTime says; the zero time when it
// says nothing that is a time.
func (d *Deployment) CommittedAt() time.Time {
	at, err := time.Parse(time.RFC3339, d.Labels[LabelCommitTime])
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// DoraQuery is which deployments are looked back on: those of a service in an environment (empty: of all) that ended in
// [Since, Until).
type DoraQuery struct {
	Service, Environment string
	Since, Until         time.Time
	// Parts is how many equal parts of the time are looked at by themselves, too; 0 is none.
	Parts int
}

// DoraReport is how well changes were delivered: all that were selected, each service in each environment that had any, those
// with the most first, and each part of the time.
type DoraReport struct {
	Sum         Dora
	Each, Parts []Dora
}

// Dora is how well changes reach one service in one environment, or all that were selected: the measures of DORA, as
// https://dora.dev/guides/dora-metrics-four-keys/ defines them. A change is a deployment of kind deploy that touched a target.
type Dora struct {
	// Both are empty for the sum of all, and of a part of the time.
	Service, Environment string
	// Changes ended in the selected time, Arrived of them completed, Failed of them needed someone or something to step in:
	// they did not complete, or were rolled back afterwards.
	Changes, Arrived, Failed int
	// Unrecovered of those that failed are not put right yet.
	Unrecovered int
	// Recovery is from the moment that a change failed to the next moment at which a deployment had ended well.
	Recovery Spread
	// Lead is from the commit to the end of the deployment with which a version completed for the first time; only of changes
	// whose commit's time is known.
	Lead Spread
}

// Spread sums up durations: how many, and what half and 95 % of them did not exceed; zero when there are none.
type Spread struct {
	Count    int
	P50, P95 time.Duration
}

// FailRate is the share of the changes that failed, from 0 to 1; 0 without changes.
func (d *Dora) FailRate() float64 {
	if d.Changes == 0 {
		return 0
	}
	return float64(d.Failed) / float64(d.Changes)
}

// PerDay is how many changes arrived a day within the time.
func (d *Dora) PerDay(within time.Duration) float64 {
	if within <= 0 {
		return 0
	}
	return float64(d.Arrived) / (within.Hours() / 24)
}
