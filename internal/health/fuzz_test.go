package health

import (
	"bytes"
	"encoding/json"
	"math"
	"net"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"rollcall/internal/healthcheck"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// FuzzPrometheusText: where Prometheus's own parser reads a page, the numbers are the same.
func FuzzPrometheusText(f *testing.F) {
	f.Add("up 1\n", "up")
	f.Add(page, "disk_used_ratio")
	f.Add("a{b=\"c\\\\\\\"\\n\"} -Inf 5\na{} 2\n", "a")
	f.Add("a{b=\"}\"} 0x1p-2\n", "a")
	f.Add("a 1 # {x=\"y\"} 2\n", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		if s, err := healthcheck.ParseSelector(name); err != nil || s.Name != name {
			return
		}
		numbers, err := promNumbers(strings.NewReader(text), name)
		if err == nil && len(numbers) == 0 {
			t.Fatal("neither a number nor an error")
		}
		if wanted, ok := oracle(text, name); ok && !sameNumbers(numbers, wanted) {
			t.Fatalf("%q in %q: %v (%v), want %v", name, text, numbers, err, wanted)
		}
	})
}

// oracle reads the page with Prometheus's parser; ok is false where it cannot, or where the metric is not a plain one.
func oracle(text, name string) (numbers []float64, ok bool) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	family := families[name]
	if err != nil || family == nil || strings.ContainsRune(text, '\r') {
		return nil, false
	}
	for _, m := range family.GetMetric() {
		switch {
		case m.GetUntyped() != nil:
			numbers = append(numbers, m.GetUntyped().GetValue())
		case m.GetGauge() != nil:
			numbers = append(numbers, m.GetGauge().GetValue())
		case m.GetCounter() != nil:
			numbers = append(numbers, m.GetCounter().GetValue())
		default:
			return nil, false
		}
	}
	return numbers, len(numbers) > 0
}

func sameNumbers(a []sample, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].value != b[i] && !(math.IsNaN(a[i].value) && math.IsNaN(b[i])) {
			return false
		}
	}
	return true
}

// FuzzEndpoint: whatever address and path were stored, what is called is http or https at the host of the address.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range [][2]string{{"http://h:1/a?b", "/health?c"}, {"http://h", "//evil/x"}, {"http://h", "/../x"}, {"h:1", "%zz"}, {"http://[::1]:1", "@evil"}, {"ftp://h", ""}, {"http://h/%2e%2e", "\\evil"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, address, path string) {
		if to, err := hostPort(address, 0); err == nil {
			if _, _, err := net.SplitHostPort(to); err != nil {
				t.Fatalf("%q is dialled as %q: %v", address, to, err)
			}
		}
		u, err := endpointURL(&healthcheck.Check{Path: path}, address, "/health")
		if err != nil {
			return
		}
		if own, err := url.Parse(address); err != nil || u.Host != own.Host || u.Scheme != "http" && u.Scheme != "https" {
			t.Fatalf("%q and %q lead to %q", address, path, u)
		}
	})
}

// FuzzStatuses: a range of statuses takes in what lies between its ends, or is an error.
func FuzzStatuses(f *testing.F) {
	for _, seed := range []string{"200-299", "204", "299-200", "-1", "2xx", "200-", "99999999999999999999"} {
		f.Add(seed, 204)
	}
	f.Fuzz(func(t *testing.T, expected string, code int) {
		if fits, err := statusExpected([]string{expected}, code); err != nil && fits {
			t.Fatalf("%q takes %d, and is an error: %v", expected, code, err)
		}
	})
}

// FuzzAnswer: a target is well by its own word only when it says so, and the version is what stands where it was looked for.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"status":"pass","version":"v2"}`, `{"status":"PASS","status":"fail"}`, `{"status":7}`, `"pass"`, `null`, `{"status":"pa\u0000ss"}`, `{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a := &httpResponse{text: text}
		seen := a.addVersion(&healthcheck.Check{VersionPointer: "/version"}, a.parseHealthJSON(t.Context(), "HTTP 200"))
		if seen.Status == healthcheck.Healthy && !json.Valid(text) {
			t.Fatalf("%q is healthy", text)
		}
		if strings.ContainsFunc(seen.Version, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q has the version %q", text, seen.Version)
		}
	})
}

// FuzzQuery: an answer of Prometheus is healthy only when it is JSON, warns of nothing, and has no number beyond the limit.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"3"]}]}}`,
		`{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]},"warnings":["cut"]}`,
		`{"status":"error","errorType":"bad_data","error":"x"}`, `{"status":"success","data":{"resultType":"vector","result":null}}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		seen := evaluateQuery(&healthcheck.Check{Query: "x", FailAbove: limit(5)}, 200, bytes.NewReader(text))
		if seen.Status == "" || seen.Status == healthcheck.Degraded {
			t.Fatalf("%q is %q", text, seen.Status)
		}
		var answer queryResponse
		if seen.Status == healthcheck.Healthy && (json.Unmarshal(text, &answer) != nil || len(answer.Warnings) > 0 || answer.Status != "success") {
			t.Fatalf("%q is healthy", text)
		}
	})
}

// FuzzWords: an answer is healthy only when its word is in the list of those that pass, and in no other.
func FuzzWords(f *testing.F) {
	for _, seed := range [][2]string{{`{"status":"UP"}`, "/status"}, {"UP", ""}, {`"up"`, ""}, {`{"status":["UP"]}`, "/status/0"}, {`{"a":tru`, "/a"}} {
		f.Add([]byte(seed[0]), seed[1])
	}
	check := healthcheck.Check{PassValues: []string{"UP"}, FailValues: []string{"DOWN"}}
	f.Fuzz(func(t *testing.T, text []byte, pointer string) {
		check := check
		check.StatusPointer = pointer
		a := &httpResponse{text: text}
		seen := a.evaluateStatusText(t.Context(), &check, "HTTP 200", healthcheck.Healthy)
		word, err := a.statusText(pointer)
		if passes := err == nil && strings.EqualFold(word, "up"); passes != (seen.Status == healthcheck.Healthy) {
			t.Fatalf("%q at %q is %s", text, pointer, seen.Status)
		}
	})
}
