package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	reference = "../../docs/reference/metrics.md"
	runbook   = "../../docs/operations/runbook.md"
	rules     = "../../examples/prometheus/rollcall.yml"
	ruleTests = "../../examples/prometheus/rollcall_test.yml"
	dashboard = "../../examples/grafana/rollcall.json"
)

func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var described = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// served are the names of all metrics that a server has, with the labels that distinguish their series.
func served(t *testing.T) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	for _, d := range descriptions(t) {
		found := described.FindStringSubmatch(d.String())
		if found == nil {
			t.Fatalf("what is %s?", d)
		}
		names[found[1]] = strings.Split(found[2], ",")
	}
	return names
}

func TestGuide_NamesExactlyTheMetrics(t *testing.T) {
	t.Parallel()
	guide, there := text(t, reference), served(t)
	for name := range there {
		if strings.HasPrefix(name, "rollcall_") && !strings.Contains(guide, "| `"+name+"` ") {
			t.Errorf("%s is not explained", name)
		}
	}
	for _, found := range regexp.MustCompile("(?m)^\\| `(\\w+)`[^|]*\\| ([^|]*) \\|").FindAllStringSubmatch(guide, -1) {
		labels, known := there[found[1]]
		if !known && found[1] != "rollcall_build_info" {
			t.Errorf("%s is explained and not there", found[1])
		}
		if said := strings.Join(strings.Fields(strings.TrimSpace(found[2])), ""); known && found[1] != "rollcall_build_info" && said != strings.Join(labels, ",") {
			t.Errorf("%s has the labels %v, not %s", found[1], labels, said)
		}
	}
}

// asked finds a metric in PromQL, with what its braces say, and what stands by it.
var asked = regexp.MustCompile(`\b((?:rollcall|go|process)_\w+)(?:\{([^}]*)\})?`)

// assertServed checks that an expression asks for what a server has: names, and labels in braces.
func assertServed(t *testing.T, there map[string][]string, expression string) {
	t.Helper()
	for _, found := range asked.FindAllStringSubmatch(expression, -1) {
		name := found[1]
		for _, part := range []string{"_bucket", "_count", "_sum"} {
			if _, whole := there[name]; !whole {
				name = strings.TrimSuffix(name, part)
			}
		}
		labels, known := there[name]
		if !known {
			t.Errorf("no server has %s, in %s", name, expression)
		}
		for _, label := range regexp.MustCompile(`(\w+)\s*[=!]`).FindAllStringSubmatch(found[2], -1) {
			if known && !slices.Contains(append([]string{"job", "instance"}, labels...), label[1]) {
				t.Errorf("%s has no label %s, in %s", name, label[1], expression)
			}
		}
	}
}

func TestGrafana_QueriesOnlyServedMetrics(t *testing.T) {
	t.Parallel()
	var d struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(text(t, dashboard)), &d); err != nil {
		t.Fatal(err)
	}
	there, ids, places := served(t), map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 || ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("the panel %q shows nothing, has the number of another, or is too wide", p.Title)
		}
		ids[p.ID] = true
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		if places[at] != "" {
			t.Errorf("%q is over %q", p.Title, places[at])
		}
		places[at] = p.Title
		for _, target := range p.Targets {
			assertServed(t, there, target.Expr)
		}
	}
	if len(ids) < 20 {
		t.Errorf("%d panels", len(ids))
	}
}

func TestAlerts_QueryServedAndHaveRunbooks(t *testing.T) {
	t.Parallel()
	content, guide, tests := text(t, rules), text(t, runbook), text(t, ruleTests)
	assertServed(t, served(t), regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(content, ""))
	records := regexp.MustCompile(`(?m)^\s*- record: (\S+)`).FindAllStringSubmatch(content, -1)
	for _, name := range regexp.MustCompile(`rollcall:\w+:\w+`).FindAllString(content, -1) {
		if !slices.ContainsFunc(records, func(r []string) bool { return r[1] == name }) {
			t.Errorf("%s is not recorded", name)
		}
	}
	alerts := regexp.MustCompile(`(?m)^\s*- alert: (\S+)`).FindAllStringSubmatch(content, -1)
	for _, alert := range alerts {
		name := alert[1]
		if !strings.Contains(guide, "\n### "+name+"\n") {
			t.Errorf("the guide does not explain %s", name)
		}
		if !strings.Contains(content, "runbook_url: docs/operations/runbook.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s does not lead to the guide", name)
		}
		if !regexp.MustCompile(`alertname: ` + name + `\n\s+exp_alerts:`).MatchString(tests) {
			t.Errorf("%s fires in no test", name)
		}
	}
	if headings := strings.Count(guide, "\n### Rollcall"); len(alerts) != headings {
		t.Errorf("%d alerts, and %d are explained", len(alerts), headings)
	}
}

func TestAlerts_FireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no promtool")
		}
		t.Skip("there is no promtool")
	}
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", rules}, {"test", "rules", ruleTests}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
