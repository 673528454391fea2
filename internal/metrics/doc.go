// Package metrics holds every Prometheus metric of the server, in a registry of its own. No label carries an id, and
// each has a bounded set of values, so that the number of series does not grow with use.
//
// Counters and histograms tell what this process did since it started. Gauges of deployments are read from the
// database at each scrape, so that they agree with the API on every replica.
package metrics
