package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

const (
	// defaultMetricsPath is asked when a check by metric names neither path nor url.
	defaultMetricsPath = "/metrics"
	// maxMetricBody is how much of an answer is searched for a number. A page of metrics is larger than a health answer.
	maxMetricBody = 1 << 20
)

var errTooLarge = errors.New("the answer is larger than 1 MiB")

// metricKind finds a number in what a URL answers and compares it with limits. A number that is absent or NaN says
// nothing, so it is unknown, never a pass.
type metricKind struct{ out *outbound.Client }

func (k metricKind) probe(
	ctx context.Context, check *rollout.Check, address string, trust *rollout.TLS,
) rollout.Observation {
	began := time.Now()
	path, accept, find := numberFrom(check)
	if find == nil {
		return unknown("the check names neither a pointer nor a metric")
	}
	u, err := endpoint(check, address, path)
	if err != nil {
		return unknown(err.Error())
	}
	resp, err := get(ctx, k.out, check, u, accept, trust)
	if err != nil {
		return unhealthy(outbound.Why(ctx, err, began))
	}
	defer resp.Body.Close() //nolint:errcheck // the answer has been read as far as it matters
	if ok, err := statusExpected(check.ExpectedStatus, resp.StatusCode); err != nil {
		return unknown(err.Error())
	} else if !ok {
		return unhealthy("HTTP " + strconv.Itoa(resp.StatusCode))
	}
	numbers, err := find(&limited{from: resp.Body, left: maxMetricBody})
	if ctx.Err() != nil {
		return unhealthy("the answer was cut short: " + outbound.Why(ctx, ctx.Err(), began))
	}
	if err != nil {
		return unknown(err.Error())
	}
	return worst(check, numbers)
}

// numberFrom is how a check finds its numbers, and where when it does not say; find is nil when it names nothing.
func numberFrom(check *rollout.Check) (path, accept string, find func(io.Reader) ([]float64, error)) {
	switch {
	case check.Pointer != "":
		return defaultHealthPath, "application/json", func(r io.Reader) ([]float64, error) {
			return jsonNumber(r, check.Pointer)
		}
	case check.Metric != "":
		return defaultMetricsPath, "text/plain; version=0.0.4", func(r io.Reader) ([]float64, error) {
			return promNumbers(r, check.Metric)
		}
	default:
		return "", "", nil
	}
}

func jsonNumber(r io.Reader, pointer string) ([]float64, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	value, err := lookup(text, pointer)
	if err != nil {
		return nil, err
	}
	number, ok := value.(json.Number)
	if !ok {
		return nil, fmt.Errorf("%s is not a number", pointer)
	}
	v, err := number.Float64()
	if err != nil {
		return nil, fmt.Errorf("%s is not a number that can be compared", pointer)
	}
	return []float64{v}, nil
}

// worst judges all numbers and keeps the worst result: each series that was meant must be within the limits.
func worst(check *rollout.Check, numbers []float64) rollout.Observation {
	seen := judgeNumber(check, numbers[0])
	for _, v := range numbers[1:] {
		if next := judgeNumber(check, v); severity(next.Status) > severity(seen.Status) {
			seen = next
		}
	}
	return seen
}

func severity(h rollout.Health) int {
	switch h {
	case rollout.Healthy:
		return 0
	case rollout.HealthDegraded:
		return 1
	case rollout.HealthUnknown:
		return 2
	default:
		return 3
	}
}

func judgeNumber(check *rollout.Check, v float64) rollout.Observation {
	shown := check.Pointer + check.Metric + " is " + strconv.FormatFloat(v, 'g', -1, 64)
	limit := func(x *float64) string { return strconv.FormatFloat(*x, 'g', -1, 64) }
	switch {
	case math.IsNaN(v):
		return unknown(shown)
	case check.FailAbove != nil && v > *check.FailAbove:
		return unhealthy(shown + ", above " + limit(check.FailAbove))
	case check.FailBelow != nil && v < *check.FailBelow:
		return unhealthy(shown + ", below " + limit(check.FailBelow))
	case check.WarnAbove != nil && v > *check.WarnAbove:
		return rollout.Observation{Status: rollout.HealthDegraded, Message: shown + ", above " + limit(check.WarnAbove)}
	case check.WarnBelow != nil && v < *check.WarnBelow:
		return rollout.Observation{Status: rollout.HealthDegraded, Message: shown + ", below " + limit(check.WarnBelow)}
	default:
		return healthy(shown)
	}
}

// limited reads at most left bytes, and then fails rather than end: a number that comes later may be the one that
// matters.
type limited struct {
	from io.Reader
	left int
}

// Read is part of io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLarge
	}
	n, err := l.from.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
