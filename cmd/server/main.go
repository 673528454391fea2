// Command server runs Rollcall: the API, the dashboard and the engine in one process, on the PostgreSQL at --database-url or
// a private one.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	var c Config
	kong.Parse(&c,
		kong.Name("rollcall-server"),
		kong.Description("Rollcall deploys versions to targets over HTTP, step by step, and rolls back on failure."),
		kong.Vars{"version": buildVersion()},
	)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "rollcall:", strings.Join(strings.Fields(err.Error()), " ")) // on one line, also when it quotes several
		os.Exit(1)
	}
}

// gcPercent lets the heap grow further than Go's default before a collection: live data is small, and each call to a target
// leaves garbage. GOGC overrides it.
const gcPercent = 400

func run(ctx context.Context, c Config) error {
	if err := c.complete(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if c.Healthcheck {
		return checkAlive(ctx, c.Addr)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	slog.SetDefault(log) // for libraries: all lines have one format
	if c.Migrate {
		return migrateDatabase(ctx, c, log)
	}
	if c.RotateSecrets {
		return rotateSecrets(ctx, c, log)
	}
	s, err := newServer(ctx, c, log)
	if err != nil {
		return err
	}
	return s.run(ctx)
}
