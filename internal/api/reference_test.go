package api

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rollcall"
	"rollcall/internal/api/types"
	"rollcall/internal/docpage"
)

//go:generate env ROLLCALL_WRITE_DOCS=1 go test -count=1 -run=^TestReference_ .

const checksIntro = `# Health checks

The ` + "`health_checks`" + ` of a deployment or a definition: a list of 1 to 20 checks. Without it there is one ` + "`http`" + ` check of
` + "`/health`" + `. How results become the health of a target, and what real endpoints answer, is on the page
[How health is judged](../explanation/health.md).

` + "```sh" + `
curl -s localhost:8080/checks -H 'Content-Type: application/json' -d '{
  "address": "http://127.0.0.1:9101", "health_checks": [{"type": "http", "path": "/health", "version_pointer": "/version"}]}'
` + "```" + `

tries checks on one address, once, and stores nothing.

`

// property is what the contract says about one field.
type property struct {
	Type, Default, Description string
	Enum                       []string
}

// typesPrefix matches how the contract begins a description: with the types of checks that have the field.
var typesPrefix = regexp.MustCompile(`^(http|tcp|grpc|metric|command)(, (http|tcp|grpc|metric|command))*; `)

func TestReference_Checks(t *testing.T) {
	t.Parallel()
	fields, names := checkFields(t)
	typed := map[string]bool{}
	var sections strings.Builder
	for _, kind := range fields["type"].Enum {
		own := rulesOf(types.CheckRequestType(kind)).fields
		fmt.Fprintf(&sections, "\n## %s\n\n", kind)
		if len(own) == 0 {
			sections.WriteString("No fields of its own.\n")
			continue
		}
		for _, name := range own {
			typed[name] = true
		}
		sections.WriteString(fieldTable(fields, own))
	}
	common := slices.DeleteFunc(names, func(name string) bool { return typed[name] })
	text := checksIntro + "## Fields of every check\n\n" + fieldTable(fields, common) + sections.String() + presetSection()
	if err := docpage.Write("reference/checks.md", text); err != nil {
		t.Error(err)
	}
}

// checkFields returns the fields of a check in the contract, and their names in its order.
func checkFields(t *testing.T) (fields map[string]property, names []string) {
	t.Helper()
	var contract struct {
		Components struct {
			Schemas map[string]yaml.Node
		}
	}
	if err := yaml.Unmarshal(rollcall.OpenAPI, &contract); err != nil {
		t.Fatal(err)
	}
	schemas := contract.Components.Schemas
	check := schemas["CheckRequest"]
	var decoded struct{ Properties yaml.Node }
	if err := check.Decode(&decoded); err != nil {
		t.Fatal(err)
	}
	fields = map[string]property{}
	for i := 0; i+1 < len(decoded.Properties.Content); i += 2 {
		name := decoded.Properties.Content[i].Value
		var p struct {
			property `yaml:",inline"`
			Ref      string `yaml:"$ref"`
		}
		if err := decoded.Properties.Content[i+1].Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.Ref != "" {
			schema := schemas[p.Ref[strings.LastIndex(p.Ref, "/")+1:]]
			if err := schema.Decode(&p); err != nil {
				t.Fatal(err)
			}
		}
		fields[name], names = p.property, append(names, name)
	}
	return fields, names
}

func fieldTable(fields map[string]property, names []string) string {
	var rows [][]string
	for _, name := range names {
		f := fields[name]
		meaning := f.Description
		meaning = typesPrefix.ReplaceAllString(meaning, "")
		if len(f.Enum) > 0 {
			meaning = strings.TrimSpace(docpage.Code(strings.Join(f.Enum, "`, `")) + ". " + docpage.Sentence(meaning))
		}
		rows = append(rows, []string{docpage.Code(name), f.Type, docpage.Code(f.Default), docpage.Sentence(meaning)})
	}
	return docpage.Table([]string{"field", "type", "default", "meaning"}, rows)
}

func presetSection() string {
	list := func(values []string) string {
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = docpage.Code(v)
		}
		return strings.Join(quoted, ", ")
	}
	var rows [][]string
	for name, p := range checkPresets {
		rows = append(rows, []string{
			docpage.Code(string(name)), docpage.Code(p.path), docpage.Code(p.pointer), list(p.pass), list(p.warn), list(p.fail), list(p.warnStatus),
		})
	}
	slices.SortFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	header := []string{"preset", "path", "status_pointer", "pass_values", "warn_values", "fail_values", "warn_status"}
	return "\n## Presets\n\nA preset fills in these fields of an `http` check where the check leaves them out.\n\n" + docpage.Table(header, rows)
}
