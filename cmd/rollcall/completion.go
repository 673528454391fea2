package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints the completion script of a shell.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Run prints the script, made from the commands and flags of this binary.
func (c *completionCmd) Run(a *app) error {
	write := map[string]func(io.Writer, *kong.Application){"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	var script strings.Builder
	write[c.Shell](&script, a.model)
	_, err := io.WriteString(a.out, script.String())
	return err
}

// completionWords returns what may follow a command: its subcommands, its flags and the global flags.
func completionWords(app *kong.Application, n *kong.Node) (words []string) {
	for _, below := range n.Children {
		words = append(words, below.Name)
	}
	flags := n.Flags
	if n != app.Node {
		flags = append(slices.Clone(flags), app.Flags...)
	}
	return append(words, flagNames(flags)...)
}

func flagNames(flags []*kong.Flag) (words []string) {
	for _, flag := range flags {
		words = append(words, "--"+flag.Name)
	}
	return words
}

func commandNames(app *kong.Application) (names []string) {
	for _, command := range app.Children {
		names = append(names, command.Name)
	}
	return names
}

func bashCompletion(w io.Writer, app *kong.Application) {
	fmt.Fprintln(w, "# source <(rollcall completion bash)")
	fmt.Fprintln(w, "_rollcall() {")
	fmt.Fprintln(w, `	local word="${COMP_WORDS[COMP_CWORD]}" command="" i`)
	fmt.Fprintln(w, "	for ((i = 1; i < COMP_CWORD; i++)); do")
	fmt.Fprintf(w, "		case \"${COMP_WORDS[i]}\" in %s) command=\"${COMP_WORDS[i]}\"; break ;; esac\n", strings.Join(commandNames(app), "|"))
	fmt.Fprintln(w, "	done")
	fmt.Fprintf(w, "	local words=%q\n", strings.Join(completionWords(app, app.Node), " "))
	fmt.Fprintln(w, `	case "$command" in`)
	for _, command := range app.Children {
		words := completionWords(app, command)
		if command.Name == "completion" {
			words = []string{"bash", "zsh", "fish"}
		}
		fmt.Fprintf(w, "	%s) words=%q ;;\n", command.Name, strings.Join(words, " "))
	}
	fmt.Fprintln(w, "	esac")
	fmt.Fprintln(w, `	COMPREPLY=($(compgen -W "$words" -- "$word"))`)
	fmt.Fprintln(w, `	if [[ ${#COMPREPLY[@]} -eq 0 ]]; then COMPREPLY=($(compgen -f -- "$word")); fi`)
	fmt.Fprintln(w, "}")
	fmt.Fprintln(w, "complete -F _rollcall rollcall")
}

func zshCompletion(w io.Writer, app *kong.Application) {
	fmt.Fprintln(w, "#compdef rollcall")
	fmt.Fprintln(w, "_rollcall() {")
	fmt.Fprintln(w, "	local -a commands")
	fmt.Fprintln(w, "	commands=(")
	for _, command := range app.Children {
		fmt.Fprintf(w, "		%s\n", shellQuote(command.Name+":"+command.Help))
	}
	fmt.Fprintln(w, "	)")
	fmt.Fprintln(w, `	local command="" word`)
	fmt.Fprintln(w, `	for word in "${(@)words[2,CURRENT-1]}"; do`)
	fmt.Fprintln(w, `		if (( ${commands[(I)${(q)word}:*]} )); then command="$word"; break; fi`)
	fmt.Fprintln(w, "	done")
	fmt.Fprintln(w, `	case "$command" in`)
	fmt.Fprintf(w, "	\"\") _describe command commands; compadd -- %s ;;\n", strings.Join(flagNames(app.Flags), " "))
	for _, command := range app.Children {
		if command.Name == "completion" {
			fmt.Fprintln(w, "	completion) compadd bash zsh fish ;;")
			continue
		}
		fmt.Fprintf(w, "	%s) compadd -- %s; _files ;;\n", command.Name, strings.Join(completionWords(app, command), " "))
	}
	fmt.Fprintln(w, "	esac")
	fmt.Fprintln(w, "}")
	fmt.Fprintln(w, `if [[ "$funcstack[1]" == _rollcall ]]; then _rollcall "$@"; else compdef _rollcall rollcall; fi`)
}

func fishCompletion(w io.Writer, app *kong.Application) {
	fmt.Fprintln(w, "# rollcall completion fish | source")
	for _, command := range app.Children {
		fmt.Fprintf(w, "complete -c rollcall -n __fish_use_subcommand -f -a %s -d %s\n", command.Name, shellQuote(command.Help))
		for _, below := range command.Children {
			fmt.Fprintf(w, "complete -c rollcall -n '__fish_seen_subcommand_from %s' -f -a %s -d %s\n", command.Name, below.Name, shellQuote(below.Help))
		}
		for _, flag := range command.Flags {
			fmt.Fprintf(w, "complete -c rollcall -n '__fish_seen_subcommand_from %s' -l %s -d %s\n", command.Name, flag.Name, shellQuote(flag.Help))
		}
	}
	for _, flag := range app.Flags {
		fmt.Fprintf(w, "complete -c rollcall -l %s -d %s\n", flag.Name, shellQuote(flag.Help))
	}
	fmt.Fprintln(w, "complete -c rollcall -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'")
}

// shellQuote quotes a text as one shell word.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
