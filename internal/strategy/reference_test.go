package strategy

import (
	"fmt"
	"strings"
	"testing"

	"rollcall/internal/docpage"
)

//go:generate env ROLLCALL_WRITE_DOCS=1 go test -count=1 -run=^TestReference_ .

func TestReference_Strategies(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`# Strategies

A strategy divides the targets into waves and decides when the next wave starts, when too many targets have failed, and
what share of traffic the new version gets. It is the ` + "`strategy`" + ` object of a deployment or a definition:

` + "```json" + `
{"type": "rolling", "batch_size": [1, "50%"], "bake": "30s"}
` + "```" + `

` + "`GET /strategies`" + ` returns the same list as JSON. How a rollout proceeds is described in
[How a rollout works](../explanation/how-a-rollout-works.md).
`)
	for _, d := range DescribeAll() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", d.Type, docpage.Sentence(d.Summary))
		var rows [][]string
		for _, p := range d.Parameters {
			rows = append(rows, []string{docpage.Code(p.Name), p.Type, docpage.Code(p.Default), docpage.Sentence(p.Description)})
		}
		b.WriteString(docpage.Table([]string{"parameter", "type", "default", "meaning"}, rows))
	}
	if err := docpage.Write("reference/strategies.md", b.String()); err != nil {
		t.Error(err)
	}
}
