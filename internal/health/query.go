package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
)

// queryPath is where Prometheus, and what speaks its API, evaluates a query at one instant.
const queryPath = "/api/v1/query"

// queryURL returns base with the path and the query for Prometheus' HTTP API. A base that names the query path already is kept.
func queryURL(base *url.URL, query string) *url.URL {
	u := *base
	if !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), queryPath) {
		u = *base.JoinPath(queryPath)
	}
	parameters := base.Query()
	parameters.Set("query", query)
	u.RawQuery = parameters.Encode()
	return &u
}

// queryResponse is an answer of Prometheus' HTTP API.
type queryResponse struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// evaluateQuery compares each number that a query gives with the limits. What cannot be answered says nothing of the target,
// and neither does an answer that warns: series may be missing in it. What is known to be beyond a limit counts all the same.
func evaluateQuery(check *healthcheck.Check, status int, body io.Reader) healthcheck.ProbeResult {
	text, err := io.ReadAll(body)
	if err != nil {
		return unknown(err.Error())
	}
	var answer queryResponse
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status == "" {
		return unknown("HTTP " + strconv.Itoa(status) + ": that is no answer of Prometheus' query API: " +
			egress.Sanitize(redactHeaders(check, string(text))))
	}
	if answer.Status != "success" {
		return unknown(fmt.Sprintf("HTTP %d: the query failed: %s: %s", status, answer.ErrorType, answer.Error))
	}
	numbers, err := answer.parseNumbers()
	if err != nil {
		return unknown(err.Error())
	}
	seen := worstStatus(check, numbers)
	if len(answer.Warnings) > 0 && seen.Status.Passing() {
		return unknown("the answer may be incomplete: " + strings.Join(answer.Warnings, "; "))
	}
	return seen
}

func (a *queryResponse) parseNumbers() ([]sample, error) {
	switch a.Data.ResultType {
	case "scalar":
		v, err := pointValue(a.Data.Result)
		return []sample{{"the query", v}}, err
	case "vector":
		return vectorNumbers(a.Data.Result)
	case "matrix":
		return nil, errors.New("the query gives a range of values for each series, not one: apply a function such as rate() to it")
	default:
		return nil, fmt.Errorf("the query gives a %s, not numbers", a.Data.ResultType)
	}
}

func vectorNumbers(result json.RawMessage) ([]sample, error) {
	var vector []struct {
		Metric    map[string]string `json:"metric"`
		Value     json.RawMessage   `json:"value"`
		Histogram json.RawMessage   `json:"histogram"`
	}
	if err := json.Unmarshal(result, &vector); err != nil {
		return nil, errors.New("the result of the query cannot be read")
	}
	if len(vector) == 0 {
		return nil, errors.New("the query gives no series")
	}
	numbers := make([]sample, len(vector))
	for i, series := range vector {
		name := seriesName(series.Metric)
		if series.Value == nil {
			return nil, fmt.Errorf("%s is a histogram, not a number: apply a function such as histogram_quantile() to it", name)
		}
		v, err := pointValue(series.Value)
		if err != nil {
			return nil, err
		}
		numbers[i] = sample{name, v}
	}
	return numbers, nil
}

// pointValue reads a point, a time and a number; the number is a string, since JSON has neither NaN nor Inf.
func pointValue(text json.RawMessage) (float64, error) {
	var point []any
	if err := json.Unmarshal(text, &point); err == nil && len(point) == 2 {
		if number, ok := point[1].(string); ok {
			if v, err := parseNumber(number); err == nil {
				return v, nil
			}
		}
	}
	return 0, errors.New("a value in the result of the query is not a number")
}

// seriesName writes a series as PromQL does.
func seriesName(metric map[string]string) string {
	if len(metric) == 0 {
		return "the query"
	}
	var labels []string
	for _, label := range slices.Sorted(maps.Keys(metric)) {
		if label != "__name__" {
			labels = append(labels, label+"="+strconv.Quote(metric[label]))
		}
	}
	if len(labels) == 0 {
		return metric["__name__"]
	}
	return metric["__name__"] + "{" + strings.Join(labels, ",") + "}"
}
