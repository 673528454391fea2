package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"rollcall/internal/api/types"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
)

const (
	defaultCheckPath      = "/health"
	defaultMetricPath     = "/metrics"
	defaultCheckInterval  = time.Second
	defaultCheckTimeout   = 5 * time.Second
	minCheckTime          = 10 * time.Millisecond
	defaultHealthyTimes   = 2
	defaultUnhealthyTimes = 3
	defaultCheckMethod    = "GET"
	defaultStatuses       = "200-299"
)

// checkRules is the table of check types: the fields that a type has beyond those of every check, and how they are
// validated together.
type checkRules struct {
	fields []string
	verify func(q *request, g *types.CheckRequest, pointer string)
}

func rulesOf(kind types.CheckRequestType) checkRules {
	switch kind {
	case "http":
		return checkRules{
			fields: []string{
				"preset", "method", "path", "url", "headers", "expected_status", "warn_status", "expected_body", "status_pointer",
				"pass_values", "warn_values", "fail_values", "version_pointer",
			},
			verify: (*request).verifyHTTP,
		}
	case "tcp":
		return checkRules{fields: []string{"port"}}
	case "grpc":
		return checkRules{fields: []string{"port", "service", "tls"}}
	case "metric":
		return checkRules{
			fields: []string{
				"path", "url", "headers", "pointer", "metric", "query", "warn_above", "fail_above", "warn_below", "fail_below",
			},
			verify: (*request).verifyMetric,
		}
	case "command":
		return checkRules{fields: []string{"command", "args", "expected_body"}, verify: (*request).verifyCommand}
	default: // none
		return checkRules{}
	}
}

// field is one field of a check that only some types have.
type field struct {
	name  string
	given bool
}

func fieldsOf(g *types.CheckRequest) []field {
	return []field{
		{"preset", g.Preset != nil},
		{"method", g.Method != nil},
		{"path", g.Path != nil},
		{"url", g.URL != nil},
		{"headers", g.Headers != nil},
		{"expected_status", g.ExpectedStatus != nil},
		{"warn_status", g.WarnStatus != nil},
		{"expected_body", g.ExpectedBody != nil},
		{"status_pointer", g.StatusPointer != nil},
		{"pass_values", g.PassValues != nil},
		{"warn_values", g.WarnValues != nil},
		{"fail_values", g.FailValues != nil},
		{"version_pointer", g.VersionPointer != nil},
		{"port", g.Port != nil},
		{"service", g.Service != nil},
		{"tls", g.TLS != nil},
		{"pointer", g.Pointer != nil},
		{"metric", g.Metric != nil},
		{"query", g.Query != nil},
		{"warn_above", g.WarnAbove != nil},
		{"fail_above", g.FailAbove != nil},
		{"warn_below", g.WarnBelow != nil},
		{"fail_below", g.FailBelow != nil},
		{"command", g.Command != nil},
		{"args", g.Args != nil},
	}
}

// readChecks reads the checks; without any it is one http check.
func (q *request) readChecks() []healthcheck.Check {
	given := valueOr(q.body.HealthChecks, []types.CheckRequest{{Type: "http"}})
	checks := make([]healthcheck.Check, len(given))
	names := q.checkNames(given)
	for i := range given {
		checks[i] = q.readCheck(&given[i], names[i], fmt.Sprintf("/health_checks/%d", i))
	}
	return checks
}

// checkNames returns a unique name for each check: its type, then type-2 and so on, where the request has none.
func (q *request) checkNames(given []types.CheckRequest) []string {
	names, taken := make([]string, len(given)), map[string]bool{}
	for i, g := range given {
		if g.Name == nil {
			continue
		}
		if taken[*g.Name] {
			q.add(fmt.Sprintf("/health_checks/%d/name", i), "is already used by another check")
		}
		names[i], taken[*g.Name] = *g.Name, true
	}
	for i, g := range given {
		for n := 1; names[i] == ""; n++ {
			name := string(g.Type)
			if n > 1 {
				name += "-" + strconv.Itoa(n)
			}
			if !taken[name] {
				names[i], taken[name] = name, true
			}
		}
	}
	return names
}

func (q *request) readCheck(g *types.CheckRequest, name, pointer string) healthcheck.Check {
	rules := rulesOf(g.Type)
	for _, f := range fieldsOf(g) {
		if f.given && !slices.Contains(rules.fields, f.name) {
			q.add(pointer+"/"+f.name, "is not supported by checks of type %s", g.Type)
		}
	}
	if g.Preset != nil && g.Type == "http" {
		g = fillInPreset(*g)
	}
	if rules.verify != nil {
		rules.verify(q, g, pointer)
	}
	c := healthcheck.Check{
		Name: name, Type: string(g.Type), Critical: valueOr(g.Critical, true),
		Interval: q.parseDuration(g.Interval, pointer+"/interval",
			bounds{defaultCheckInterval, minCheckTime, maxDuration}),
		Timeout:          q.parseDuration(g.Timeout, pointer+"/timeout", bounds{defaultCheckTimeout, minCheckTime, maxDuration}),
		HealthyThreshold: valueOr(g.HealthyThreshold, defaultHealthyTimes), UnhealthyThreshold: valueOr(g.UnhealthyThreshold, defaultUnhealthyTimes),
		InitialDelay: q.parseDuration(g.InitialDelay, pointer+"/initial_delay", bounds{0, 0, maxDuration}),

		Method: string(valueOr(g.Method, "")), Path: valueOr(g.Path, ""), URL: valueOr(g.URL, ""), Headers: valueOr(g.Headers, nil),
		ExpectedStatus: valueOr(g.ExpectedStatus, nil), WarnStatus: valueOr(g.WarnStatus, nil), ExpectedBody: valueOr(g.ExpectedBody, ""),
		StatusPointer: q.jsonPointer(g.StatusPointer, pointer+"/status_pointer"),
		PassValues:    valueOr(g.PassValues, nil), WarnValues: valueOr(g.WarnValues, nil), FailValues: valueOr(g.FailValues, nil),
		VersionPointer: q.jsonPointer(g.VersionPointer, pointer+"/version_pointer"),
		Port:           valueOr(g.Port, 0), Service: valueOr(g.Service, ""), TLS: valueOr(g.TLS, false),
		Pointer: q.jsonPointer(g.Pointer, pointer+"/pointer"), Metric: valueOr(g.Metric, ""), Query: valueOr(g.Query, ""),
		WarnAbove: g.WarnAbove, FailAbove: g.FailAbove, WarnBelow: g.WarnBelow, FailBelow: g.FailBelow,
		Command: valueOr(g.Command, ""), Args: valueOr(g.Args, nil),
	}
	fillInCheck(&c)
	return c
}

// fillInCheck sets the defaults of a check's type.
func fillInCheck(c *healthcheck.Check) {
	switch {
	case c.Type == "http" && c.Path == "" && c.URL == "":
		c.Path = defaultCheckPath
	case c.Type == "metric" && c.Path == "" && c.URL == "" && c.Query == "":
		c.Path = defaultMetricPath
	}
	if c.Type == "http" {
		if c.Method == "" {
			c.Method = defaultCheckMethod
		}
		if c.ExpectedStatus == nil {
			c.ExpectedStatus = []string{defaultStatuses}
		}
	}
}

func (q *request) verifyHTTP(g *types.CheckRequest, pointer string) {
	q.verifyEndpoint(g, pointer)
	q.verifyStatuses(valueOr(g.ExpectedStatus, nil), pointer+"/expected_status")
	q.verifyStatuses(valueOr(g.WarnStatus, nil), pointer+"/warn_status")
	if g.PassValues == nil && (g.StatusPointer != nil || g.WarnValues != nil || g.FailValues != nil) {
		q.add(pointer+"/pass_values", "is required: without it no response passes")
	}
	if p := g.Preset; p != nil && checkPresets[*p].path == "" && g.Path == nil && g.URL == nil {
		q.add(pointer+"/path", "or url is required: preset %s has no default", *p)
	}
	q.verifyValues(g, pointer)
}

// verifyValues reports values that are in more than one list.
func (q *request) verifyValues(g *types.CheckRequest, pointer string) {
	seen := map[string]string{}
	for _, list := range []struct {
		name   string
		values []string
	}{{"pass_values", valueOr(g.PassValues, nil)}, {"warn_values", valueOr(g.WarnValues, nil)}, {"fail_values", valueOr(g.FailValues, nil)}} {
		for i, value := range list.values {
			if other := seen[strings.ToLower(value)]; other != "" && other != list.name {
				q.add(fmt.Sprintf("%s/%s/%d", pointer, list.name, i), "is also in %s", other)
			}
			seen[strings.ToLower(value)] = list.name
		}
	}
}

func (q *request) verifyStatuses(statuses []string, pointer string) {
	for i, status := range statuses {
		if from, to := status[:3], status[len(status)-3:]; from > to {
			q.add(fmt.Sprintf("%s/%d", pointer, i), "range must not be reversed")
		}
	}
}

// verifyEndpoint checks the URL, path and headers of a check.
func (q *request) verifyEndpoint(g *types.CheckRequest, pointer string) {
	if g.URL != nil {
		q.checkURL(*g.URL, pointer+"/url")
		if g.Path != nil {
			q.add(pointer+"/path", "mutually exclusive with url")
		}
	}
	for name, value := range valueOr(g.Headers, nil) {
		at := pointer + "/headers/" + problem.EscapePointer(name)
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value.Reveal()) {
			q.add(at, "is not a valid header")
		}
		q.secretGiven(value, at)
	}
}

func (q *request) verifyMetric(g *types.CheckRequest, pointer string) {
	q.verifyEndpoint(g, pointer)
	given := 0
	for _, f := range fieldsOf(g) {
		if !f.given || !slices.Contains([]string{"pointer", "metric", "query"}, f.name) {
			continue
		}
		if given++; given > 1 {
			q.add(pointer+"/"+f.name, "pointer, metric and query are mutually exclusive")
		}
	}
	if given == 0 {
		q.add(pointer, "pointer (JSON), metric (Prometheus text) or query (Prometheus HTTP API) is required")
	}
	if g.Metric != nil {
		if _, err := healthcheck.ParseSelector(*g.Metric); err != nil {
			q.add(pointer+"/metric", "%s", err)
		}
	}
	q.verifyBounds(g, pointer)
}

// verifyBounds checks the bounds of a metric: a warning comes no later than the failure.
func (q *request) verifyBounds(g *types.CheckRequest, pointer string) {
	if g.WarnAbove == nil && g.FailAbove == nil && g.WarnBelow == nil && g.FailBelow == nil {
		q.add(pointer, "at least one of warn_above, fail_above, warn_below and fail_below is required")
	}
	if g.WarnAbove != nil && g.FailAbove != nil && *g.WarnAbove > *g.FailAbove {
		q.add(pointer+"/warn_above", "must not be above fail_above")
	}
	if g.WarnBelow != nil && g.FailBelow != nil && *g.WarnBelow < *g.FailBelow {
		q.add(pointer+"/warn_below", "must not be below fail_below")
	}
}

func (q *request) verifyCommand(g *types.CheckRequest, pointer string) {
	if g.Command == nil {
		q.add(pointer+"/command", "is required")
		return
	}
	if q.checkCommand == nil {
		return
	}
	if err := q.checkCommand(*g.Command); err != nil {
		q.add(pointer+"/command", "%s", err)
	}
}

// checkPreset is how the health endpoint of a framework answers, as http checks read it.
type checkPreset struct {
	// path is where it usually is; empty when there is no such place.
	path string
	// pointer leads to the status; empty when the whole answer is it, or the status line says all.
	pointer          string
	pass, warn, fail []string
	warnStatus       []string
}

// checkPresets is the table of presets; docs/explanation/health.md has the versions and sources. What a framework itself
// calls unknown is in no list.
var checkPresets = map[types.CheckRequestPreset]checkPreset{
	"spring": {
		path: "/actuator/health", pointer: "/status", pass: []string{"UP"}, fail: []string{"DOWN", "OUT_OF_SERVICE"},
	},
	"aspnet": {
		path: "/healthz", pass: []string{"Healthy"}, warn: []string{"Degraded"}, fail: []string{"Unhealthy"},
	},
	"health-go": {
		path: "/status", pointer: "/status", pass: []string{"OK"}, warn: []string{"Partially Available"}, fail: []string{"Unavailable"},
	},
	"microprofile": {
		path: "/health/ready", pointer: "/status", pass: []string{"UP"}, fail: []string{"DOWN"},
	},
	"consul": {warnStatus: []string{"429"}},
}

// fillInPreset returns the check with its preset's values for the fields that it leaves out.
func fillInPreset(g types.CheckRequest) *types.CheckRequest {
	p := checkPresets[*g.Preset]
	if g.URL == nil && g.Path == nil && p.path != "" {
		g.Path = &p.path
	}
	if g.StatusPointer == nil && p.pointer != "" {
		g.StatusPointer = &p.pointer
	}
	for _, list := range []struct {
		given  **[]string
		preset []string
	}{{&g.PassValues, p.pass}, {&g.WarnValues, p.warn}, {&g.FailValues, p.fail}} {
		if *list.given == nil && list.preset != nil {
			*list.given = &list.preset
		}
	}
	if g.WarnStatus == nil && p.warnStatus != nil {
		g.WarnStatus = &p.warnStatus
	}
	return &g
}
