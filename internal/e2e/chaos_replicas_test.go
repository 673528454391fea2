package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/e2e/chaos"
	"rollcall/internal/fleet"
)

// replica is one of the servers of a round: a process, and another after each of its ends, on one state folder.
type replica struct {
	t         testing.TB
	index     int
	wire      *wire
	args      []string
	successor string // the program of a later version, and from then on the one that runs

	mu      sync.Mutex
	program string
	process *process
	id      string
	// trap is a moment of a call at which the process that made it is killed. Finding out who made a call takes a while:
	// looking is true meanwhile, and caught are the connections that were found to be this process's.
	trap    fleet.Moment
	trapped chan struct{}
	looking bool
	caught  map[string]bool
}

func newReplica(t testing.TB, index int, database, successor string, args ...string) *replica {
	t.Helper()
	r := &replica{
		t: t, index: index, wire: newWire(t, database), successor: successor, program: binary,
		args: append(args, "--state-dir="+t.TempDir()),
	}
	r.start()
	return r
}

// start starts the process; one that cannot come up because its database is away is started again.
func (r *replica) start() {
	r.t.Helper()
	r.mu.Lock()
	program := r.program
	r.mu.Unlock()
	for range 100 {
		p := launchProgram(r.t, program, r.wire.url, r.args...)
		if p.url == "" {
			<-time.After(100 * time.Millisecond) // as what supervises a service would
			continue
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.process, r.id = p, p.replicaID()
		return
	}
	r.t.Errorf("replica %d does not come up", r.index)
}

// replicaID is the name that the process said it has.
func (p *process) replicaID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		var entry struct{ Msg, Replica string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "rollcall is ready" {
			return entry.Replica
		}
	}
	return ""
}

// now is the process that runs, and its name.
func (r *replica) now() (p *process, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process, r.id
}

// url is where the replica answers, "" while it is away: somebody else may have its port then.
func (r *replica) url() string {
	p, _ := r.now()
	select {
	case <-p.done:
		return ""
	default:
		return p.url
	}
}

// play strikes the replica with one fault, and mends it. It answers whether the fault happened, from when to when.
func (r *replica) play(s chaos.Step, lease time.Duration) (fault chaos.Fault, happened bool) {
	p, id := r.now()
	fault = chaos.Fault{Kind: s.Kind, Replica: r.index, ReplicaID: id, From: time.Now()}
	switch s.Kind {
	case chaos.Kill:
		p.kill()
		happened = true
	case chaos.KillOpen, chaos.KillAnswered:
		happened = r.killAtCall(p, s.Kind, 2*lease)
	case chaos.KillBeforeSend, chaos.KillBeforeCommit:
		happened = r.killAtCommit(p, s.Kind, 2*lease)
	case chaos.Freeze:
		p.signal(syscall.SIGSTOP)
		<-time.After(s.For)
		p.signal(syscall.SIGCONT)
		happened = true
	case chaos.Term, chaos.Successor:
		p.stop()
		happened = true
	default:
		happened = r.disturb(s)
	}
	fault.To = time.Now()
	select {
	case <-p.done:
		fault.Ended = fault.To
		r.comeBack(p, s)
		fault.To = time.Now() // until then the replica was away
	default:
	}
	return fault, happened
}

// comeBack starts the replica again after it was away for a while.
func (r *replica) comeBack(ended *process, s chaos.Step) {
	if s.Kind == chaos.Successor {
		r.mu.Lock()
		r.program = r.successor
		r.mu.Unlock()
	}
	<-time.After(s.Away)
	ended.mu.Lock()
	ended.lines = ended.lines[max(0, len(ended.lines)-25):] // of the dead only the end is of interest
	ended.mu.Unlock()
	r.start()
}

// killAtCall kills the process at a moment of one of its calls.
func (r *replica) killAtCall(p *process, kind chaos.Kind, patience time.Duration) bool {
	trapped := make(chan struct{})
	r.mu.Lock()
	r.trap, r.trapped, r.caught = fleet.Received, trapped, map[string]bool{}
	if kind == chaos.KillAnswered {
		r.trap = fleet.Replied
	}
	r.mu.Unlock()
	select {
	case <-trapped:
		<-p.done
		return true
	case <-time.After(patience):
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trap = 0
	select {
	case <-trapped:
		<-p.done
		return true
	default:
		return false
	}
}

// spring kills the process if it waits to be killed at this moment and made the call that came from an address.
func (r *replica) spring(moment fleet.Moment, from string) {
	if moment == fleet.Received {
		r.catch(from)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trap != moment || !r.caught[from] {
		return
	}
	r.process.signal(syscall.SIGKILL)
	r.trap = 0
	close(r.trapped)
}

// catch finds out whether the process made a call that has just come, unless it looks at another one.
func (r *replica) catch(from string) {
	r.mu.Lock()
	look := r.trap != 0 && !r.looking
	r.looking = r.looking || look
	pid := r.process.cmd.Process.Pid
	r.mu.Unlock()
	if !look {
		return
	}
	made := holds(pid, from)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looking = false
	if made {
		r.caught[from] = true
	}
}

// killAtCommit kills the process when it has sent a COMMIT: before the database gets it, or when the database has done it.
func (r *replica) killAtCommit(p *process, kind chaos.Kind, patience time.Duration) bool {
	var once sync.Once
	struck := make(chan struct{})
	r.wire.onCommit(commitFault{before: kind == chaos.KillBeforeCommit, strike: func() {
		p.signal(syscall.SIGKILL)
		once.Do(func() { close(struck) })
	}})
	select {
	case <-struck:
	case <-time.After(patience):
		r.wire.disarm()
		select {
		case <-struck:
		default:
			return false
		}
	}
	<-p.done
	return true
}

// disturb breaks the replica's way to the database for a while.
func (r *replica) disturb(s chaos.Step) bool {
	losses, muted := r.wire.lost()
	switch s.Kind {
	case chaos.Reset:
		r.wire.reset()
		return true
	case chaos.Refuse:
		r.wire.become(func(w *wireState) { w.refuses = true })
		r.wire.reset()
	case chaos.HalfOpen:
		r.wire.become(func(w *wireState) { w.silent = true })
	case chaos.Slow:
		r.wire.become(func(w *wireState) { w.delay = 30 * time.Millisecond })
	case chaos.LostCommit:
		for range 3 {
			r.wire.onCommit(commitFault{strike: func() {}})
		}
	case chaos.LostNotify:
		r.wire.become(func(w *wireState) { w.deaf = true })
	default:
		r.t.Errorf("%s is no fault of a replica", s.Kind)
	}
	<-time.After(s.For)
	if s.Kind == chaos.HalfOpen {
		r.wire.reset() // what was lost on the way never comes
	}
	r.wire.become(func(w *wireState) { *w = wireState{} })
	r.wire.disarm()
	lossesNow, mutedNow := r.wire.lost()
	switch s.Kind {
	case chaos.LostCommit:
		return lossesNow > losses
	case chaos.LostNotify:
		return mutedNow > muted
	default:
		return true
	}
}

// holds reports whether a process has the connection that comes from an address of this machine.
func holds(pid int, from string) bool {
	_, port, ok := strings.Cut(from, ":")
	number, err := strconv.Atoi(port)
	if !ok || err != nil {
		return false
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return false
	}
	local := fmt.Sprintf(":%04X", number)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 9 && strings.HasSuffix(fields[1], local) {
			return hasSocket(pid, "socket:["+fields[9]+"]")
		}
	}
	return false
}

func hasSocket(pid int, socket string) bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && target == socket {
			return true
		}
	}
	return false
}
