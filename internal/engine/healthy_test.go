package engine

import (
	"log/slog"
	"testing"
	"time"
)

func TestHealthy_FailsAfterAMinuteWithoutProgress(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		p := w.start(0)
		time.Sleep(5 * time.Minute) // the synthetic clock
		if err := p.engine.Healthy(); err != nil {
			t.Errorf("idle, and working: %v", err)
		}
		p.mu.Lock()
		p.mute = true // the database takes requests and answers none
		p.mu.Unlock()
		time.Sleep(stalledAfter - time.Second)
		if err := p.engine.Healthy(); err != nil {
			t.Errorf("too soon: %v", err)
		}
		time.Sleep(10 * time.Second)
		if err := p.engine.Healthy(); err == nil {
			t.Error("it has not looked for work for more than a minute, and says that it is well")
		}
		p.mu.Lock()
		p.mute = false
		p.mu.Unlock()
		time.Sleep(5 * time.Second)
		if err := p.engine.Healthy(); err != nil {
			t.Errorf("the database is back: %v", err)
		}
	})
}

// A loop that hangs looks for nothing any more, whatever the database does.
func TestHealthy_FailsWhenLoopHangs(t *testing.T) {
	t.Parallel()
	inBubble(t, func(*world) {
		e := New(Config{Log: slog.New(slog.DiscardHandler)}) // Run was never called
		time.Sleep(stalledAfter + time.Second)
		if e.Healthy() == nil {
			t.Error("the loop is not running, and it reports that it is healthy")
		}
	})
}
