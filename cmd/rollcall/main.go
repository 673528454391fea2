// Command rollcall is the command-line client: it starts, follows and controls deployments, from a terminal or a CI job.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs one command and returns its exit code.
func run(ctx context.Context, args []string, out, stderr io.Writer) int {
	var c cli
	parser, err := newParser(&c, out, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "rollcall:", err)
		return codeUsage
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		err = &usageError{err: err}
	} else {
		err = c.runCommand(ctx, chosen, out, stderr)
	}
	if errors.Is(err, context.Canceled) {
		err = interruptedError{}
	}
	if err != nil && err.Error() != "" {
		fmt.Fprintln(stderr, "rollcall:", strings.Join(strings.Fields(err.Error()), " ")) // on one line, also when it quotes several
	}
	return exitCode(err)
}

func newParser(c *cli, out, stderr io.Writer) (*kong.Kong, error) {
	parser, err := kong.New(c,
		kong.Name("rollcall"),
		kong.Description("Deploy with Rollcall, and follow and control deployments. Exit codes: 0 completed, 1 failed or rolled back, "+
			"2 usage error or rejected request, 3 server unreachable, 4 timed out, 130 interrupted."),
		kong.Vars{"version": buildVersion()},
		kong.Writers(out, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, fmt.Errorf("build the command parser: %w", err)
	}
	return parser, nil
}
