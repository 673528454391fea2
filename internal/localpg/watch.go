package localpg

import (
	"fmt"
	"runtime"
	"time"
)

// How a PostgreSQL that ended by itself is started again: at once at first, then after waits that double, and not at
// all after so many starts in a row of which none became ready.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
	maxStarts   = 5
	// steady is how long it must have run for its next end to count as the first again.
	steady = 30 * time.Second
)

// supervise keeps postgres running until Stop, or until it cannot be kept running. It signals ready once, when the first
// one accepts connections.
//
// All starts happen on one locked thread that lives as long as the processes, because the kernel signals a child its
// parent's death when the parent's *thread* dies. The thread is not given back: it ends with the goroutine.
func (s *Server) supervise(ready chan<- struct{}) {
	runtime.LockOSThread()
	defer s.releaseDir()
	again := retries{}
	for {
		up, err := s.runOnce(ready)
		if s.isStopping() {
			s.err = err
			return
		}
		wait, ok := again.nextWait(up)
		if !ok {
			s.err = fmt.Errorf("PostgreSQL failed %d times in a row: %w", maxStarts, err)
			return
		}
		s.log.Error("the private PostgreSQL ended unexpectedly; restarting", "error", err, "uptime_ms", up.Milliseconds(), "retry_in_ms", wait.Milliseconds())
		select {
		case <-s.stopping:
			return
		case <-time.After(wait):
		}
	}
}

// runOnce runs one postgres from its start to its end. It answers for how long it was ready, zero for never, and why it
// ended.
func (s *Server) runOnce(ready chan<- struct{}) (time.Duration, error) {
	p, err := s.startProcess()
	if err != nil {
		return 0, err
	}
	if !p.awaitReady(s.dataDir, s.stopping) {
		return 0, s.awaitEnd(p)
	}
	since := time.Now()
	s.log.Info("the private PostgreSQL accepts connections", "pid", p.pid, "folder", s.dataDir.dir, "account", s.who.name)
	select {
	case ready <- struct{}{}:
	default: // only the first is waited for
	}
	err = s.awaitEnd(p)
	return time.Since(since), err
}

// awaitEnd waits for the process to end, by itself or because of Stop.
func (s *Server) awaitEnd(p *process) error {
	select {
	case <-s.stopping:
		return p.shutDown()
	case <-p.exited:
		if p.err == nil {
			return fmt.Errorf("postgres (pid %d) was shut down by another process", p.pid)
		}
		return p.err
	}
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// retries counts the starts in a row that failed.
type retries struct {
	failed int
	wait   time.Duration
}

// nextWait returns how long to wait after a postgres that was ready for up, and whether to start another at all.
func (r *retries) nextWait(up time.Duration) (time.Duration, bool) {
	r.failed++
	if up > 0 {
		r.failed = 0
	}
	if up >= steady || r.wait == 0 {
		r.wait = firstWait
	} else {
		r.wait = min(2*r.wait, longestWait)
	}
	return r.wait, r.failed < maxStarts
}
