package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"rollcall/internal/docpage"
)

//go:generate env ROLLCALL_WRITE_DOCS=1 go test -count=1 -run=^TestReference_ .

const cliIntro = `# Command line

` + "`make build`" + ` makes ` + "`bin/rollcall`" + `, one static program. It calls the server at ` + "`ROLLCALL_URL`" + ` with the token in
` + "`ROLLCALL_TOKEN`" + `. ` + "`rollcall COMMAND --help`" + ` prints what is listed here.

A server restart while the program waits is no failure. Each command that changes something is sent with an idempotency
key until it is answered; where no answer comes, the program prints the ` + "`--key`" + ` with which to repeat the command.

`

func TestReference_CommandLine(t *testing.T) {
	t.Parallel()
	parser, err := newParser(&cli{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(cliIntro + docpage.Table([]string{"exit code", "meaning"}, exitCodes()))
	b.WriteString("\n## Flags of every command\n\n" + flagTable(parser.Model.Flags))
	var commands [][]string
	leaves := parser.Model.Leaves(true)
	for _, leaf := range leaves {
		commands = append(commands, []string{fmt.Sprintf("[%s](#rollcall-%s)", leaf.Path(), strings.ReplaceAll(leaf.Path(), " ", "-")), leaf.Help})
	}
	b.WriteString("\n## Commands\n\n" + docpage.Table([]string{"command", "what it does"}, commands))
	for _, leaf := range leaves {
		b.WriteString(commandSection(leaf))
	}
	if err := docpage.Write("reference/cli.md", b.String()); err != nil {
		t.Error(err)
	}
}

func exitCodes() [][]string {
	return [][]string{
		{"0", "Done. With `--wait`: completed, or rolled back as requested."},
		{"1", "The deployment failed, was rolled back, aborted or superseded."},
		{"2", "Usage error, or the server rejected the request."},
		{"3", "The server was unreachable for as long as `--patience` allows."},
		{"4", "The deployment did not end within `--timeout`; it is still running."},
		{"130", "Interrupted. The program prints whether the deployment is still running."},
	}
}

func commandSection(leaf *kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### rollcall %s\n\n    %s\n\n%s\n", leaf.Path(), leaf.Summary(), docpage.Sentence(leaf.Help))
	var arguments [][]string
	for _, p := range leaf.Positional {
		arguments = append(arguments, []string{docpage.Code("<" + p.Name + ">"), docpage.Sentence(p.Help)})
	}
	if len(arguments) > 0 {
		b.WriteString("\n" + docpage.Table([]string{"argument", "meaning"}, arguments))
	}
	if len(leaf.Flags) > 0 {
		b.WriteString("\n" + flagTable(leaf.Flags))
	}
	return b.String()
}

func flagTable(flags []*kong.Flag) string {
	var rows [][]string
	for _, flag := range flags {
		name := docpage.Code("--" + flag.Name)
		if flag.Short != 0 {
			name = docpage.Code("-"+string(flag.Short)) + ", " + name
		}
		rows = append(rows, []string{name, docpage.Code(strings.Join(flag.Envs, " ")), docpage.Code(flag.Default), docpage.Sentence(flag.Help)})
	}
	return docpage.Table([]string{"flag", "variable", "default", "meaning"}, rows)
}
