package metrics

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/docpage"
)

//go:generate env ROLLCALL_WRITE_DOCS=1 go test -count=1 -run=^TestReference_ .

const metricsIntro = `# Metrics

` + "`/metrics`" + ` serves these in the format of Prometheus, with ` + "`go_…` and `process_…`" + ` of the Go runtime and the
process. Counters and histograms are those of one server: sum them over all servers. Metrics marked **db** are read from
the database at each scrape and are the same at every server: take the maximum, not the sum. They fall when old
deployments are deleted.

[Monitoring](../operations/monitoring.md) has a dashboard, alert rules and the scrape configuration.

`

// documented finds in a description what the page shows.
var documented = regexp.MustCompile(`fqName: "([^"]+)", help: "(.*?)", (?:unit: "[^"]*", )?constLabels: \{(.*?)\}, variableLabels: \{([^}]*)\}`)

func TestReference_Metrics(t *testing.T) {
	t.Parallel()
	var rows [][]string
	for _, d := range descriptions(t) {
		found := documented.FindStringSubmatch(d.String())
		if found == nil {
			t.Fatalf("not understood: %s", d)
		}
		name, help := found[1], strings.TrimSuffix(found[2], ".")
		if !strings.HasPrefix(name, namespace+"_") {
			continue
		}
		labels := strings.ReplaceAll(found[4], ",", ", ")
		if found[3] != "" {
			labels = "version, revision, goversion"
		}
		mark := ""
		if text, fromDatabase := strings.CutSuffix(help, ", from the database"); fromDatabase {
			help, mark = text, " **db**"
		}
		rows = append(rows, []string{docpage.Code(name) + mark, labels, docpage.Sentence(help)})
	}
	slices.SortFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	if err := docpage.Write("reference/metrics.md", metricsIntro+docpage.Table([]string{"metric", "labels", "meaning"}, rows)); err != nil {
		t.Error(err)
	}
}

// descriptions returns those of all metrics that a server has.
func descriptions(t *testing.T) (list []*prometheus.Desc) {
	t.Helper()
	m := New(known())
	m.RegisterDatabase(&tallies{})
	m.RegisterSources(gauges{})
	m.RegisterOutbox(pending{})
	m.RegisterRouters(drifts{})
	m.RegisterPool(lazyPool(t).Stat)
	all := make(chan *prometheus.Desc, 1000)
	m.registry.Describe(all)
	close(all)
	for d := range all {
		list = append(list, d)
	}
	return list
}
