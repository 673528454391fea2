package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// counters are what a server and its PostgreSQL have used so far.
type counters struct {
	server, database time.Duration // CPU
	wal              int64         // bytes
	rows             int64         // inserted, updated and deleted
	index            int64         // entries made in indexes
	size             int64         // bytes on disk
}

// since returns what was used since before.
func (c counters) since(before counters) counters {
	return counters{
		server: c.server - before.server, database: c.database - before.database, wal: c.wal - before.wal,
		rows: c.rows - before.rows, index: c.index - before.index, size: c.size - before.size,
	}
}

// countSQL sums what the statistics of the tables say. An update that is not "heap only" makes an entry in each index.
const countSQL = `
	SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, pg_database_size(current_database()),
		coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint,
		coalesce(sum((n_tup_ins + n_tup_upd - n_tup_hot_upd) * (SELECT count(*) FROM pg_index WHERE indrelid = relid)), 0)::bigint,
		current_setting('data_directory')
	FROM pg_stat_user_tables`

// count reads the counters of the database, and the CPU time of the server.
func (r *running) count(ctx context.Context) (c counters, err error) {
	conn, err := pgx.Connect(ctx, r.pg.URL())
	if err != nil {
		return c, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // it has answered
	var data string
	if err := conn.QueryRow(ctx, countSQL).Scan(&c.wal, &c.size, &c.rows, &c.index, &data); err != nil {
		return c, fmt.Errorf("read the statistics: %w", err)
	}
	if c.database, err = postgresCPU(data); err != nil {
		return c, err
	}
	c.server = r.spent // of a server that has ended
	if r.process != nil {
		used, err := readUsage(r.process.Process.Pid)
		if err != nil {
			return c, err
		}
		c.server = used.own
	}
	return c, nil
}

// usage is the CPU time of a process, and that of the children it has waited for.
type usage struct {
	parent        int
	own, children time.Duration
}

// postgresCPU returns the CPU time of all processes of the PostgreSQL with that data folder, those that have ended included.
func postgresCPU(data string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("find PostgreSQL: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	postmaster, err := strconv.Atoi(line)
	if err != nil {
		return 0, fmt.Errorf("find PostgreSQL: %w", err)
	}
	used, err := readUsage(postmaster)
	if err != nil {
		return 0, err
	}
	sum := used.own + used.children
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, path := range processes {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		if child, err := readUsage(pid); err == nil && child.parent == postmaster {
			sum += child.own + child.children
		}
	}
	return sum, nil
}

// tick is the unit of times in /proc: USER_HZ is 100 on all architectures that Go supports (proc_pid_stat(5)).
const tick = 10 * time.Millisecond

// readUsage reads /proc/PID/stat (proc_pid_stat(5)). The name in parentheses may contain anything; what follows is counted
// from its end.
func readUsage(pid int) (usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("read the CPU time of a process: %w", err)
	}
	const parent, utime, stime, cutime, cstime = 1, 11, 12, 13, 14
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	number := func(i int) int {
		if i >= len(fields) {
			return 0
		}
		n, _ := strconv.Atoi(fields[i]) // the kernel's
		return n
	}
	return usage{
		parent: number(parent), own: time.Duration(number(utime)+number(stime)) * tick,
		children: time.Duration(number(cutime)+number(cstime)) * tick,
	}, nil
}
