package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"rollcall/internal/localpg"
	"rollcall/internal/testtarget"
)

const (
	adminToken = "the-admin-token-of-the-benchmark"
	secretKey  = "bench:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" //nolint:gosec // seals nothing that lasts
)

// running is a server under measurement, with a PostgreSQL of its own that is as durable as in production.
type running struct {
	name, path string
	folder     string
	pg         *localpg.Server
	process    *exec.Cmd
	url        string
	// spent is the CPU time of the server that ended last.
	spent time.Duration
	// before is what had been used before the first measured rollout, and whole the sum of their times.
	before counters
	whole  time.Duration
	sent   int // bytes, to the watcher
}

// startServer starts a PostgreSQL and a server, has the tables made, and counts from then on.
func startServer(ctx context.Context, p program) (*running, error) {
	folder, err := os.MkdirTemp("", "rollcall-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	r := &running{name: p.name, path: p.path, folder: folder}
	if err := r.prepare(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *running) prepare(ctx context.Context) (err error) {
	if err := os.Chmod(r.folder, 0o755); err != nil { //nolint:gosec // PostgreSQL runs under an account of its own
		return fmt.Errorf("open the folder: %w", err)
	}
	if r.pg, err = localpg.Start(ctx, localpg.Config{Dir: filepath.Join(r.folder, "postgres")}); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := r.start(r.pg.URL()); err != nil {
		return err
	}
	r.before, err = r.count(ctx)
	return err
}

// start runs the server's program until it is ready.
func (r *running) start(database string) error {
	r.process = exec.Command(r.path, "--dev", "--addr=127.0.0.1:0", "--rate-limit=0", "--state-dir="+r.folder) //nolint:noctx // stop ends it
	r.process.Env = append(os.Environ(), "DATABASE_URL="+database, "ROLLCALL_ADMIN_TOKEN="+adminToken, "ROLLCALL_SECRET_KEY="+secretKey)
	stderr, err := r.process.StderrPipe()
	if err != nil {
		return fmt.Errorf("open a pipe: %w", err)
	}
	if err := r.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", r.path, err)
	}
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	last := ""
	for lines.Scan() {
		last = lines.Text()
		var entry struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "rollcall is ready" {
			r.url = "http://" + entry.Address
			go func() {
				for lines.Scan() { // its log is thrown away
				}
			}()
			return nil
		}
	}
	return fmt.Errorf("%s ended before it was ready: %s", r.path, last)
}

// stop ends the server, so that its connections report what they have counted.
func (r *running) stop() error {
	if r.process == nil || r.process.Process == nil {
		return nil
	}
	if err := r.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", r.name, err)
	}
	err := r.process.Wait()
	r.spent = r.process.ProcessState.UserTime() + r.process.ProcessState.SystemTime()
	r.process = nil
	if err != nil {
		return fmt.Errorf("%s ended: %w", r.name, err)
	}
	return nil
}

func (r *running) close() {
	_ = r.stop()
	if r.pg != nil {
		_ = r.pg.Stop()
	}
	_ = os.RemoveAll(r.folder)
}

// rollOut measures one rollout, from its POST to the answer that it has ended.
func (r *running) rollOut(ctx context.Context, f *testtarget.Fleet, s scenario, version string) error {
	began := time.Now()
	sent, err := r.follow(ctx, f, s, version)
	r.whole += time.Since(began)
	r.sent += sent
	return err
}

// measured stops the server and returns the result of its rollouts; the statements are counted in one more rollout.
func (r *running) measured(ctx context.Context, s scenario, rounds int) (result, error) {
	if err := r.stop(); err != nil {
		return result{}, err
	}
	after, err := r.count(ctx)
	if err != nil {
		return result{}, err
	}
	statements, err := r.countStatements(ctx, s)
	if err != nil {
		return result{}, err
	}
	return result{
		scenario: s, server: r.name, whole: r.whole / time.Duration(rounds), statements: statements,
		used: after.since(r.before), rollouts: rounds, sent: r.sent,
	}, nil
}

// countStatements runs one more rollout with a proxy before the database that counts what the server sends it.
func (r *running) countStatements(ctx context.Context, s scenario) (int, error) {
	folder, err := os.MkdirTemp("", "rollcall-bench-socket-")
	if err != nil {
		return 0, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a folder for temporary files
	database, err := url.Parse(r.pg.URL())
	if err != nil {
		return 0, fmt.Errorf("read the database's address: %w", err)
	}
	query := database.Query()
	p, err := startProxy(filepath.Join(query.Get("host"), socketName), filepath.Join(folder, socketName))
	if err != nil {
		return 0, err
	}
	defer p.close()
	query.Set("host", folder)
	database.RawQuery = query.Encode()
	f, err := startFleet(s)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it has served
	if err := r.start(database.String()); err != nil {
		return 0, err
	}
	before := p.statements.Load()
	if _, err := r.follow(ctx, f, s, "counted"); err != nil {
		return 0, err
	}
	n := p.statements.Load() - before
	return int(n), r.stop()
}
