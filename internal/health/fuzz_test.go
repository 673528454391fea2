package health

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// FuzzPointer: what a pointer finds in a document is what walking the document by hand finds, and nothing panics.
func FuzzPointer(f *testing.F) {
	f.Add(`{"a":{"b":[1,"x"]}}`, "/a/b/1")
	f.Add(`{"a/b":{"m~n":1}}`, "/a~1b/m~0n")
	f.Add(`[[]]`, "/0/-")
	f.Add(`{"":1}`, "/")
	f.Add(`{"~1":1}`, "/~01")
	f.Fuzz(func(t *testing.T, text, pointer string) {
		value, err := lookup([]byte(text), pointer)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("found %v in what is not JSON", value)
		}
		if pointer != "" && pointer[0] != '/' {
			t.Fatalf("found %v by a pointer that is none", value)
		}
		// Under a key of its own the same value is one step further down.
		deeper, err := lookup([]byte(`{"k~/":`+text+`}`), "/k~0~1"+pointer)
		if a, b := marshalled(t, value), marshalled(t, deeper); err != nil || a != b {
			t.Fatalf("%s one level down is %s, %v", a, b, err)
		}
	})
}

func marshalled(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// FuzzPrometheusText: where Prometheus's own parser reads a page, the numbers are the same.
func FuzzPrometheusText(f *testing.F) {
	f.Add("up 1\n", "up")
	f.Add(page, "disk_used_ratio")
	f.Add("a{b=\"c\\\\\\\"\\n\"} -Inf 5\na{} 2\n", "a")
	f.Add("a{b=\"}\"} 0x1p-2\n", "a")
	f.Add("a 1 # {x=\"y\"} 2\n", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		if strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }) || name == "" {
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

func sameNumbers(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
			return false
		}
	}
	return true
}
