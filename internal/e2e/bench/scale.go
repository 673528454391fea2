package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/testtarget"
)

// sizes are how many deployments the benchmark of large databases makes.
type sizes struct{ finished, unfinished int }

// measurement is a line of the table.
type measurement struct{ name, value string }

// runScale measures a server with many finished, then with many unfinished deployments.
func runScale(ctx context.Context, o options) error {
	s := scale{running: &running{name: o.servers[0].name, path: o.servers[0].path}, repeat: o.repeat, kept: o.folder != ""}
	defer s.close()
	s.folder = o.folder
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.measureFinished(ctx, o.sizes.finished); err != nil {
		return fmt.Errorf("finished deployments: %w", err)
	}
	if err := s.measureUnfinished(ctx, o.sizes.unfinished); err != nil {
		return fmt.Errorf("unfinished deployments: %w", err)
	}
	rows := [][]string{{"figure", "value"}}
	if o.markdown {
		rows = append(rows, []string{"---", "---"})
	}
	for _, m := range s.measured {
		rows = append(rows, []string{m.name, m.value})
	}
	if _, err := os.Stdout.WriteString(layOut(rows, o.markdown)); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// scale is a server with a large database.
type scale struct {
	*running
	repeat   int
	kept     bool // the database
	fleet    *testtarget.Fleet
	conn     *pgx.Conn
	measured []measurement
}

func (s *scale) prepare(ctx context.Context) (err error) {
	if s.fleet, err = testtarget.New(3, "v0"); err != nil {
		return fmt.Errorf("start the targets: %w", err)
	}
	if !s.kept {
		s.folder, err = os.MkdirTemp("", "rollcall-bench-")
	} else {
		err = os.MkdirAll(s.folder, 0o755) //nolint:gosec // PostgreSQL runs under an account of its own
	}
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := s.running.prepare(ctx); err != nil {
		return err
	}
	if s.conn, err = pgx.Connect(ctx, s.pg.URL()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

func (s *scale) close() {
	if s.conn != nil {
		_ = s.conn.Close(context.Background())
	}
	if s.kept {
		_ = s.stop()
		_ = s.pg.Stop()
	} else {
		s.running.close()
	}
	if s.fleet != nil {
		_ = s.fleet.Close()
	}
}

// note adds a line to the table, and shows it now.
func (s *scale) note(name, format string, args ...any) {
	m := measurement{name, fmt.Sprintf(format, args...)}
	s.measured = append(s.measured, m)
	fmt.Fprintln(os.Stderr, m.name+": "+m.value)
}

// post creates a deployment on the fleet and waits until the condition holds for it.
func (s *scale) post(ctx context.Context, service string, strategy map[string]any, reached func(state) bool) (state, error) {
	body := request(s.fleet, scenario{}, "v1")
	body["service"], body["strategy"] = service, strategy
	body["health_checks"] = []map[string]any{{"type": "http", "path": "/health", "healthy_threshold": 1, "interval": wakeWithin.String()}}
	d, err := s.send(ctx, http.MethodPost, "/deployments", body)
	for err == nil && !reached(d) && d.FinishedAt == nil {
		d, err = s.send(ctx, http.MethodGet, fmt.Sprintf("/deployments/%s?wait=10s&after=%d", d.ID, d.Revision), nil)
	}
	if err == nil && !reached(d) {
		err = fmt.Errorf("a deployment that is to be copied is %s: %s", d.State, d.Reason)
	}
	return d, err
}

// refreshFigures waits until the server has read the figures of all days and months.
func (s *scale) refreshFigures(ctx context.Context) error {
	const left = `SELECT NOT coalesce((SELECT done FROM figures_backfill), false) 
		OR EXISTS (SELECT FROM figures_days WHERE changes IS NULL)
		OR EXISTS (SELECT FROM figures_months WHERE format IS NULL AND month < date_trunc('month', now() AT TIME ZONE 'UTC'))`
	for began := time.Now(); ; {
		var more bool
		if err := s.conn.QueryRow(ctx, left).Scan(&more); err != nil {
			return fmt.Errorf("look at the figures: %w", err)
		}
		if !more {
			s.note("figures of all days and months, for the first time", "%.0f s", time.Since(began).Seconds())
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}
