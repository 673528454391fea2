package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// observeFor is how long a server with unfinished deployments is watched.
const observeFor = 30 * time.Second

// measureUnfinished measures a server with n unfinished deployments: a third waits, a third bakes, a third is paused.
func (s *scale) measureUnfinished(ctx context.Context, n int) error {
	if err := s.noteLoad(ctx, "without unfinished deployments"); err != nil {
		return err
	}
	ids, err := s.postUnfinished(ctx)
	if err != nil {
		return err
	}
	if err := copyPlanned(ctx, s.conn, planUnfinishedSQL, n, ids[0], ids[1], ids[2], wakeWithin); err != nil {
		return err
	}
	return s.noteLoad(ctx, fmt.Sprintf("with %d unfinished deployments", n))
}

// postUnfinished makes the deployments that are copied: one that bakes, one that is paused, and one that waits behind it.
func (s *scale) postUnfinished(ctx context.Context) (ids []string, err error) {
	now := fmt.Sprint(time.Now().UnixNano()) // a database that is used again has those of before
	bakes := func(d state) bool { return strings.Contains(d.Reason, "bak") }
	baking, err := s.post(ctx, "baking-"+now, map[string]any{"type": "rolling", "batch_size": 1, "bake": "24h"}, bakes)
	if err != nil {
		return nil, err
	}
	stages := []map[string]any{{"percent": 30, "promotion": "manual"}, {"percent": 100}}
	paused, err := s.post(ctx, "paused-"+now, map[string]any{"type": "canary", "stages": stages}, func(d state) bool { return d.State == "in_progress" })
	if err != nil {
		return nil, err
	}
	if _, err := s.send(ctx, http.MethodPost, "/deployments/"+paused.ID+"/pause", nil); err != nil {
		return nil, err
	}
	waiting, err := s.post(ctx, "paused-"+now, map[string]any{"type": "rolling"}, func(d state) bool { return d.State == "pending" })
	return []string{baking.ID, paused.ID, waiting.ID}, err
}

// noteLoad notes what a server does that is left alone, and then how it accepts and ends deployments.
func (s *scale) noteLoad(ctx context.Context, name string) error {
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	calls, err := s.transactions(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(observeFor):
	}
	after, err := s.count(ctx)
	if err != nil {
		return err
	}
	end, err := s.transactions(ctx)
	if err != nil {
		return err
	}
	used := after.since(before)
	s.note(name+": transactions a second", "%.0f", float64(end-calls)/observeFor.Seconds())
	s.note(name+": CPU of the server, of the database", "%.1f %%, %.1f %%", 100*used.server.Seconds()/observeFor.Seconds(), 100*used.database.Seconds()/observeFor.Seconds())
	memory, err := residentMemory(s.process.Process.Pid)
	if err != nil {
		return err
	}
	s.note(name+": memory of the server", "%d MB", memory>>20)
	return s.measureAccepting(ctx, name)
}

// measureAccepting measures how many deployments are accepted in a second by four clients, and how soon one is begun.
func (s *scale) measureAccepting(ctx context.Context, name string) error {
	const clients, posts = 4, 50
	var failed atomic.Value
	var all sync.WaitGroup
	began := time.Now()
	for c := range clients {
		all.Go(func() {
			for i := range posts {
				body := request(s.fleet, scenario{batch: 3}, "v1")
				body["service"] = fmt.Sprintf("new-%d-%d-%d", began.UnixNano(), c, i)
				if _, err := s.send(ctx, http.MethodPost, "/deployments", body); err != nil {
					failed.Store(err)
				}
			}
		})
	}
	all.Wait()
	if err, _ := failed.Load().(error); err != nil {
		return err
	}
	s.note(name+": deployments accepted a second", "%.0f", clients*posts/time.Since(began).Seconds())
	var took []time.Duration
	for i := range 4 * s.repeat {
		began, called := time.Now(), s.fleet.CallCount()
		body := request(s.fleet, scenario{batch: 3}, "v1")
		body["service"] = fmt.Sprintf("first-%d-%d", began.UnixNano(), i)
		if _, err := s.send(ctx, http.MethodPost, "/deployments", body); err != nil {
			return err
		}
		for s.fleet.CallCount() == called && ctx.Err() == nil {
			time.Sleep(time.Millisecond / 2)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	s.note(name+": POST to the first call", "%.0f ms", milliseconds(took[len(took)/2]))
	return nil
}

// send sends a request with a body, if it is not nil, and returns the deployment in the answer.
func (s *scale) send(ctx context.Context, method, path string, body map[string]any) (d state, err error) {
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return d, fmt.Errorf("encode a request: %w", err)
		}
	}
	err = exchange(ctx, http.DefaultClient, method, s.url+path, data, &d)
	return d, err
}

// transactions is how many transactions the database has ended.
func (s *scale) transactions(ctx context.Context) (n int64, err error) {
	err = s.conn.QueryRow(ctx, `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count transactions: %w", err)
	}
	return n, nil
}

// residentMemory reads how much memory a process has (proc_pid_status(5)).
func residentMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	return kilobytes << 10, nil
}
