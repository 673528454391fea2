package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"rollcall/internal/docpage"
)

//go:generate env ROLLCALL_WRITE_DOCS=1 go test -count=1 -run=^TestReference_ .

const configurationIntro = `# Server configuration

Each setting of ` + "`rollcall-server`" + ` is a flag, or else an environment variable, or else its default. A flag that may be
repeated takes several values in its variable, with commas between them (` + "`--allow-command`" + `: semicolons).
` + "`rollcall-server --help`" + ` prints the same list.

Secrets belong into the environment or into files: other users of a machine can read flags.

`

func TestReference_Configuration(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&Config{}, kong.Name("rollcall-server"), kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	var general, sources [][]string
	for _, flag := range parser.Model.Flags {
		variables := make([]string, 0, len(flag.Envs))
		for _, name := range flag.Envs {
			variables = append(variables, docpage.Code(name))
		}
		row := []string{docpage.Code("--" + flag.Name), strings.Join(variables, " "), docpage.Code(flag.Default), docpage.Sentence(flag.Help)}
		if strings.HasPrefix(flag.Name, "gitops-") {
			sources = append(sources, row)
		} else {
			general = append(general, row)
		}
	}
	header := []string{"flag", "variable", "default", "meaning"}
	text := configurationIntro + docpage.Table(header, general) + "\n## A Git source from the start\n\n" +
		"The source that these flags describe is created, or updated, when the server starts; see\n[GitOps](gitops.md) for what the fields do.\n\n" +
		docpage.Table(header, sources)
	if err := docpage.Write("reference/configuration.md", text); err != nil {
		t.Error(err)
	}
}
