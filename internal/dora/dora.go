// Package dora has the measures of DORA over deployments.
package dora

import "time"

// Query is which deployments are looked back on: those of a service in an environment (empty: of all) that ended in
// [Since, Until).
type Query struct {
	Service, Environment string
	Since, Until         time.Time
	// Buckets is how many equal parts of the time are looked at by themselves, too; 0 is none.
	Buckets int
}

// Report is how well changes were delivered: all that were selected, each service in each environment that had any, those
// with the most first, and each part of the time.
type Report struct {
	Total              Metrics
	ByService, Buckets []Metrics
}

// Metrics is how well changes reach one service in one environment, or all that were selected: the measures of DORA, as
// https://dora.dev/guides/dora-metrics-four-keys/ defines them. A change is a deployment of kind deploy that touched a target.
type Metrics struct {
	// Both are empty for the sum of all, and of a part of the time.
	Service, Environment string
	// Changes ended in the selected time, Succeeded of them completed, Failed of them needed an intervention:
	// they did not complete, or were rolled back afterwards.
	Changes, Succeeded, Failed int
	// Unrecovered of those that failed are not put right yet.
	Unrecovered int
	// Recovery is from the moment that a change failed to the next moment at which a deployment had ended well.
	Recovery Percentiles
	// Lead is from the commit to the end of the deployment with which a version completed for the first time; only of changes
	// whose commit's time is known.
	Lead Percentiles
}

// Percentiles sums up durations: how many, and what half and 95 % of them did not exceed; zero when there are none.
type Percentiles struct {
	Count    int
	P50, P95 time.Duration
}

// FailRate returns the share of the changes that failed, from 0 to 1; 0 without changes.
func (d *Metrics) FailRate() float64 {
	if d.Changes == 0 {
		return 0
	}
	return float64(d.Failed) / float64(d.Changes)
}

// PerDay returns how many changes succeeded a day within the time.
func (d *Metrics) PerDay(within time.Duration) float64 {
	if within <= 0 {
		return 0
	}
	return float64(d.Succeeded) / (within.Hours() / 24)
}
