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
	"rollcall/internal/testtarget"
)

// replica is one of the servers of a round: a process, and another after each of its ends, on one state folder.
type replica struct {
	t       testing.TB
	index   int
	wire    *wire
	args    []string
	upgrade *upgrade

	// struck is held while the process is frozen, stopped or killed at random: these would undo each other.
	struck  sync.Mutex
	mu      sync.Mutex
	program string
	process *process
	id      string
	// trap is a moment of a call at which the process that made it is killed. Finding out who made a call takes a while:
	// looking is true meanwhile, and caught are the connections that were found to be this process's.
	trap    testtarget.Moment
	trapped chan struct{}
	looking bool
	caught  map[string]bool
}

func newReplica(t testing.TB, index int, database string, next *upgrade, args ...string) *replica {
	t.Helper()
	r := &replica{
		t: t, index: index, wire: newWire(t, database), upgrade: next, program: binary,
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

// url is where the replica answers, "" while it is away: another process may have its port then.
func (r *replica) url() string {
	if p, _ := r.now(); p.runs() {
		return p.url
	}
	return ""
}

// play strikes the replica with one fault, and repairs it. It returns whether the fault happened, from when to when.
func (r *replica) play(s chaos.Step, lease time.Duration) (fault chaos.Fault, happened bool) {
	fault = chaos.Fault{Kind: s.Kind, Replica: r.index, From: time.Now()}
	p, id := r.now()
	fault.ReplicaID = id
	switch s.Kind {
	case chaos.Kill, chaos.Freeze, chaos.Term, chaos.Successor:
		r.struck.Lock()
		fault.From = time.Now()
		happened = r.strike(p, s)
		r.struck.Unlock()
	case chaos.KillOpen, chaos.KillAnswered:
		happened = r.killAtCall(p, s.Kind, 2*lease)
	case chaos.KillBeforeSend, chaos.KillBeforeCommit:
		happened = r.killAtCommit(p, s.Kind, 2*lease)
	default:
		happened = r.disturb(s)
	}
	fault.To = time.Now()
	if p.runs() {
		return fault, happened
	}
	fault.Ended, fault.Exit = fault.To, p.cmd.ProcessState.ExitCode()
	if s.Kind.Kills() {
		happened, fault.From = p.killed(), fault.Ended
	}
	happened = r.comeBack(p, s) && happened
	fault.To = time.Now() // until then the replica was away
	return fault, happened
}

// strike does to the process what is done to it from outside.
func (r *replica) strike(p *process, s chaos.Step) (happened bool) {
	switch s.Kind {
	case chaos.Kill:
		p.kill()
		return true
	case chaos.Freeze:
		p.signal(syscall.SIGSTOP)
		<-time.After(s.For)
		happened = p.stopped()
		p.signal(syscall.SIGCONT)
		return happened
	default:
		p.stop()
		return true
	}
}

// runs reports whether the process has not ended.
func (p *process) runs() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stopped reports whether the process stands still because of a signal.
func (p *process) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, state, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && strings.HasPrefix(state, "T")
}

// killed reports whether SIGKILL has ended the process.
func (p *process) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// comeBack starts the replica again after it was away for a while. It answers whether that made of it what it was to be.
func (r *replica) comeBack(ended *process, s chaos.Step) bool {
	next := -1
	if s.Kind == chaos.Successor {
		next = r.upgrade.begin(r)
	}
	<-time.After(s.Away)
	ended.mu.Lock()
	ended.lines = ended.lines[max(0, len(ended.lines)-25):] // of the dead only the end is of interest
	ended.mu.Unlock()
	r.start()
	return s.Kind != chaos.Successor || r.upgrade.done(next)
}

// killAtCall kills the process at a moment of one of its calls.
func (r *replica) killAtCall(p *process, kind chaos.Kind, timeout time.Duration) bool {
	trapped := make(chan struct{})
	r.mu.Lock()
	r.trap, r.trapped, r.caught = testtarget.Received, trapped, map[string]bool{}
	if kind == chaos.KillAnswered {
		r.trap = testtarget.Replied
	}
	r.mu.Unlock()
	select {
	case <-trapped:
		<-p.done
		return true
	case <-time.After(timeout):
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
func (r *replica) spring(moment testtarget.Moment, from string) {
	if moment == testtarget.Received {
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
func (r *replica) killAtCommit(p *process, kind chaos.Kind, timeout time.Duration) bool {
	var once sync.Once
	struck := make(chan struct{})
	of := ""
	if kind == chaos.KillBeforeSend {
		of = "target.intent"
	}
	r.wire.onCommit(commitFault{before: kind == chaos.KillBeforeCommit, of: of, strike: func() {
		p.signal(syscall.SIGKILL)
		once.Do(func() { close(struck) })
	}})
	select {
	case <-struck:
	case <-time.After(timeout):
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

// disturb breaks the replica's way to the database for a while, and answers whether anything was met by that.
func (r *replica) disturb(s chaos.Step) bool {
	before := r.wire.counted()
	switch s.Kind {
	case chaos.Reset:
		r.wire.reset()
		return r.wire.counted().cut > before.cut
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
	return met(s.Kind, before, r.wire.counted())
}

// met reports whether a fault of a wire has met anything between two counts.
func met(kind chaos.Kind, before, after felt) bool {
	switch kind {
	case chaos.Refuse:
		return after.refused > before.refused
	case chaos.HalfOpen:
		return after.swallowed > before.swallowed
	case chaos.Slow:
		return after.delayed > before.delayed
	case chaos.LostCommit:
		return after.lost > before.lost
	default:
		return after.muted > before.muted
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
