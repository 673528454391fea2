package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// options is what the command line says.
type options struct {
	// servers are the programs to measure, in the order of the table.
	servers []program
	// only keeps the cases whose name contains it.
	only string
	// repeat is how many rollouts of each case are measured, at least.
	repeat int
	// scale measures large databases instead of rollouts.
	scale bool
	sizes sizes
	// folder is where the large database is kept; empty removes it.
	folder string
	// markdown prints the table as the documentation shows it.
	markdown bool
}

// program is a server to measure.
type program struct{ name, path string }

func main() {
	var o options
	flag.Func("server", "NAME=PATH of a server's program; may be repeated", func(s string) error {
		name, path, found := strings.Cut(s, "=")
		if !found {
			return fmt.Errorf("%q is not NAME=PATH", s)
		}
		o.servers = append(o.servers, program{name, path})
		return nil
	})
	flag.StringVar(&o.only, "only", "", "measure the cases whose name contains this")
	flag.IntVar(&o.repeat, "repeat", 5, "how many rollouts of each case to measure")
	flag.BoolVar(&o.markdown, "markdown", false, "print the table as Markdown")
	flag.BoolVar(&o.scale, "scale", false, "measure a server with a large database instead")
	flag.IntVar(&o.sizes.finished, "finished", 300_000, "how many finished deployments that has")
	flag.IntVar(&o.sizes.unfinished, "unfinished", 100_000, "how many unfinished deployments that has")
	flag.StringVar(&o.folder, "folder", "", "a folder in which that database is kept, and used again")
	flag.Parse()
	if len(o.servers) == 0 {
		o.servers = []program{{"this", "bin/rollcall-server"}}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	measure := run
	if o.scale {
		measure = runScale
	}
	err := measure(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// scenario is one kind of rollout.
type scenario struct {
	targets, batch int
	answer         time.Duration
	watch          watchKind
	// rendered has the targets called by a request with placeholders that makes the same body as Rollcall's own webhook.
	rendered bool
}

func (s scenario) String() string {
	name := fmt.Sprintf("%d/%d/%s, %s", s.targets, s.batch, s.answer, s.watch)
	if s.rendered {
		name += ", rendered"
	}
	return name
}

// watchKind is how the client that waits for the end of a rollout watches it.
type watchKind string

const (
	unwatched watchKind = "no watcher"
	longPoll  watchKind = "long poll"
	sse       watchKind = "event stream"
)

// scenarios are the rollouts that are measured. All of them are rolling, with one health check.
func scenarios() (all []scenario) {
	for _, watch := range []watchKind{longPoll, unwatched, sse} {
		all = append(all,
			scenario{1000, 100, 0, watch, false},
			scenario{200, 20, 20 * time.Millisecond, watch, false},
			scenario{10_000, 1000, 0, watch, false},
		)
	}
	return append(all, scenario{1000, 100, 0, unwatched, true})
}

func run(ctx context.Context, o options) error {
	var results []result
	for _, s := range scenarios() {
		if !strings.Contains(s.String(), o.only) {
			continue
		}
		measured, err := measureScenario(ctx, o, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		results = append(results, measured...)
		for _, r := range measured {
			fmt.Fprintln(os.Stderr, r.line())
		}
	}
	text := table(results, o.markdown)
	if len(o.servers) > 1 {
		text += "\nThe first server as a part of each other one:\n\n" + ratios(results, o.markdown)
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// measureScenario measures each server with one kind of rollout. The loops and the servers take turns, so that a slow moment of
// the machine meets all of them.
func measureScenario(ctx context.Context, o options, s scenario) (results []result, err error) {
	f, err := startFleet(s)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it has served
	var runs []*running
	defer func() {
		for _, r := range runs {
			r.close()
		}
	}()
	for _, p := range o.servers {
		r, err := startServer(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", p.name, err)
		}
		runs = append(runs, r)
	}
	loops := map[bool]time.Duration{}
	rounds := rounds(s, o.repeat)
	for i := range rounds {
		for _, keepAlive := range []bool{true, false} {
			took, err := plainLoop(ctx, f, s, keepAlive, fmt.Sprintf("loop-%d-%t", i, keepAlive))
			if err != nil {
				return nil, err
			}
			loops[keepAlive] += took
		}
		for _, r := range slices.Concat(runs[i%len(runs):], runs[:i%len(runs)]) {
			if err := r.rollOut(ctx, f, s, fmt.Sprintf("v-%d-%s", i, r.name)); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	for _, r := range runs {
		measured, err := r.measured(ctx, s, rounds)
		if err != nil {
			return nil, err
		}
		measured.keepAliveLoop, measured.plainLoop = loops[true]/time.Duration(rounds), loops[false]/time.Duration(rounds)
		results = append(results, measured)
	}
	return results, nil
}

// rounds is how often a scenario is measured: the large ones less often.
func rounds(s scenario, repeat int) int {
	const large = 5000
	if s.targets >= large {
		return max(repeat/2, 2)
	}
	return repeat
}
