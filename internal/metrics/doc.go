// Package metrics holds every Prometheus metric of the server, in its own registry. No label carries an id, and
// each has a bounded set of values, so that the number of series does not grow with use.
//
// Counters and histograms count since the start of the process. Gauges of deployments are read from the
// database at each scrape, so that they agree with the API on every replica.
package metrics
