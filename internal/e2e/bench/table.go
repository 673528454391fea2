package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what one server needed for one scenario: whole and the loops are the mean of one rollout, used is the sum of all.
type result struct {
	scenario
	server                          string
	rollouts                        int
	whole, keepAliveLoop, plainLoop time.Duration
	used                            counters
	statements                      int // of one rollout
	sent                            int // bytes to the watcher, of all
}

// figure is one column of the table.
type figure struct {
	name   string
	format string
	of     func(result) float64
}

func figures() []figure {
	perTarget := func(of func(result) float64) func(result) float64 {
		return func(r result) float64 { return of(r) / float64(r.rollouts*r.targets) }
	}
	return []figure{
		{"s", "%.3f", func(r result) float64 { return r.whole.Seconds() }},
		{"× keep-alive loop", "%.2f", func(r result) float64 { return r.whole.Seconds() / r.keepAliveLoop.Seconds() }},
		{"× loop", "%.2f", func(r result) float64 { return r.whole.Seconds() / r.plainLoop.Seconds() }},
		{"CPU server µs", "%.0f", perTarget(func(r result) float64 { return float64(r.used.server.Microseconds()) })},
		{"CPU database µs", "%.0f", perTarget(func(r result) float64 { return float64(r.used.database.Microseconds()) })},
		{"WAL B", "%.0f", perTarget(func(r result) float64 { return float64(r.used.wal) })},
		{"growth B", "%.0f", perTarget(func(r result) float64 { return float64(r.used.size) })},
		{"rows", "%.2f", perTarget(func(r result) float64 { return float64(r.used.rows) })},
		{"index entries", "%.2f", perTarget(func(r result) float64 { return float64(r.used.index) })},
		{"statements a wave", "%.1f", func(r result) float64 { return float64(r.statements) / float64(r.waves()) }},
		{"sent B", "%.0f", perTarget(func(r result) float64 { return float64(r.sent) })},
	}
}

func (s scenario) waves() int { return (s.targets + s.batch - 1) / s.batch }

// line is a result as it is shown while others are still measured.
func (r result) line() string {
	parts := []string{r.String(), r.server}
	for _, f := range figures() {
		parts = append(parts, f.name+" "+fmt.Sprintf(f.format, f.of(r)))
	}
	return strings.Join(parts, " | ")
}

// table has a row for each result. What has no unit of its own is per target.
func table(results []result, markdown bool) string {
	rows := head("server", markdown)
	for _, r := range results {
		row := []string{r.String(), r.server}
		for _, f := range figures() {
			row = append(row, fmt.Sprintf(f.format, f.of(r)))
		}
		rows = append(rows, row)
	}
	return layOut(rows, markdown)
}

// ratios has each figure of the first server as a part of that of each other one.
func ratios(results []result, markdown bool) string {
	first := map[scenario]result{}
	rows := head("ratio of", markdown)
	for _, r := range results {
		base, found := first[r.scenario]
		if !found {
			first[r.scenario] = r
			continue
		}
		row := []string{r.String(), base.server + "/" + r.server}
		for _, f := range figures() {
			row = append(row, ratio(f.of(base), f.of(r)))
		}
		rows = append(rows, row)
	}
	return layOut(rows, markdown)
}

// head has the names of the columns; Markdown has a line below them.
func head(second string, markdown bool) [][]string {
	names, line := []string{"targets/batch/answer, watcher", second}, []string{"---", "---"}
	for _, f := range figures() {
		names, line = append(names, f.name), append(line, "---")
	}
	if markdown {
		return [][]string{names, line}
	}
	return [][]string{names}
}

// ratio returns a/b in words, "-" where there is nothing to compare with.
func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// layOut aligns the columns of a table.
func layOut(rows [][]string, markdown bool) string {
	var text strings.Builder
	if markdown {
		for _, row := range rows {
			text.WriteString("| " + strings.Join(row, " | ") + " |\n")
		}
		return text.String()
	}
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = t.Write([]byte(strings.Join(row, "\t") + "\n"))
	}
	_ = t.Flush()
	return text.String()
}
