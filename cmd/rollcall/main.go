// Command rollcall asks a Rollcall server from a terminal or a CI job: it deploys, waits, shows what runs, and steps in.
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

// run carries one command out and answers with its exit code.
func run(ctx context.Context, args []string, out, complaints io.Writer) int {
	var c cli
	parser, err := newParser(&c, out, complaints)
	if err != nil {
		fmt.Fprintln(complaints, "rollcall:", err)
		return codeWrongUse
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		err = &wrongUseError{err: err}
	} else {
		err = c.carryOut(ctx, chosen, out, complaints)
	}
	if errors.Is(err, context.Canceled) {
		err = interruptedError{}
	}
	if err != nil && err.Error() != "" {
		fmt.Fprintln(complaints, "rollcall:", strings.Join(strings.Fields(err.Error()), " ")) // in one line, whatever it quotes
	}
	return codeOf(err)
}

func newParser(c *cli, out, complaints io.Writer) (*kong.Kong, error) {
	parser, err := kong.New(c,
		kong.Name("rollcall"),
		kong.Description("Deploy with Rollcall, watch, and step in. Exit codes: 0 completed, 1 failed or rolled back, "+
			"2 wrong use, 3 server unreachable, 4 timed out, 130 interrupted."),
		kong.Vars{"version": version()},
		kong.Writers(out, complaints),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare the commands: %w", err)
	}
	return parser, nil
}
