// Command serve runs another command with a PostgreSQL server for tests and ends with that command's exit code:
//
//	go run ./internal/dbtest/serve -- go test ./...
//
// A server that TEST_DATABASE_URL names already is used as it is. With -container before the dashes the server is one in a
// container, also where PostgreSQL's programs are installed.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"rollcall/internal/dbtest"
)

const exitUsage = 2

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	start := dbtest.Start
	if len(args) > 0 && args[0] == "-container" {
		start, args = dbtest.StartContainer, args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return exitUsage, errors.New("say what to run: serve -- command argument…")
	}
	if os.Getenv(dbtest.URLVariable) == "" {
		server, errStart := start()
		if errStart != nil {
			return 1, fmt.Errorf("start PostgreSQL: %w", errStart)
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		fmt.Fprintln(os.Stderr, "serve: PostgreSQL is", server.Origin)
		if err := os.Setenv(dbtest.URLVariable, server.URL); err != nil {
			return 1, fmt.Errorf("pass the server's URL to the command: %w", err)
		}
	}
	return runCommand(args)
}

// runCommand runs to its end; the terminal's signals reach it by themselves, those sent to us alone are handed on.
func runCommand(args []string) (int, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec,noctx // running a given command is its purpose
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("run %s: %w", args[0], err)
	}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				_ = cmd.Process.Signal(s) // it may have ended meanwhile
			}
		}
	}()
	err := cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(1, cmd.ProcessState.ExitCode()), nil
	}
	if err != nil {
		return 1, fmt.Errorf("run %s: %w", args[0], err)
	}
	return 0, nil
}
