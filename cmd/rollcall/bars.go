package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"rollcall/internal/api/gen"
)

// screen is a terminal on which lines can be drawn again.
type screen struct {
	out   io.Writer
	width func() int
}

// screenOf is the terminal behind out; nil when there is none, or one that cannot move its cursor.
func screenOf(out io.Writer) *screen {
	file, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &screen{out: out, width: func() int {
		const usual = 80
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width < 1 {
			return usual
		}
		return width
	}}
}

// redrawEvery keeps the times on the screen right while nothing else changes.
const redrawEvery = time.Second

// bars draw a deployment's progress in place.
type bars struct {
	screen *screen
	stop   func()
	mu     sync.Mutex
	drawn  int // lines on the screen
	now    *gen.Deployment
}

func newBars(s *screen) *bars {
	b := &bars{screen: s}
	done := make(chan struct{})
	ended := make(chan struct{})
	b.stop = sync.OnceFunc(func() { close(done); <-ended })
	go func() {
		defer close(ended)
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				b.draw()
			}
		}
	}()
	return b
}

func (b *bars) show(d gen.Deployment) {
	b.mu.Lock()
	b.now = &d
	b.mu.Unlock()
	b.draw()
}

func (b *bars) close() { b.stop() }

func (b *bars) draw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now == nil {
		return
	}
	width := b.screen.width()
	var text strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", b.drawn)
	}
	drawn := barLines(b.now, width, time.Now())
	for _, line := range drawn {
		fmt.Fprintf(&text, "\r\x1b[2K%s\n", cut(line, width))
	}
	b.drawn = len(drawn)
	fmt.Fprint(b.screen.out, text.String())
}

// barLines are what is drawn of a deployment: what it is, how far it is, and why it is where it is.
func barLines(d *gen.Deployment, width int, now time.Time) []string {
	const most, beside = 40, 60
	cells := max(10, min(most, width-beside))
	reason := printable(d.Reason)
	if d.NextActionAt != nil {
		if left := d.NextActionAt.Sub(now).Round(time.Second); left > 0 {
			reason += fmt.Sprintf(" (%s)", left)
		}
	}
	return []string{
		fmt.Sprintf("%s  %s  %s", title(d), d.State, took(d, now)),
		fmt.Sprintf("%s %s", bar(d, cells), progress(d)),
		"  " + reason,
	}
}

// bar shows the shares of targets that are updated, failed, and in flight.
func bar(d *gen.Deployment, cells int) string {
	p := d.Progress
	total := max(1, p.TargetsTotal)
	updated := p.TargetsUpdated * cells / total
	failed := min(cells-updated, ceil(p.TargetsFailed*cells, total))
	busy := min(cells-updated-failed, ceil(p.TargetsInFlight*cells, total))
	return "[" + strings.Repeat("█", updated) + strings.Repeat("✗", failed) + strings.Repeat("▒", busy) +
		strings.Repeat("·", cells-updated-failed-busy) + "]"
}

// ceil divides and rounds up: one of a thousand is to be seen, too.
func ceil(a, b int) int { return (a + b - 1) / b }

// cut shortens a line that would wrap, after which drawing in place fails.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) < width {
		return line
	}
	return string([]rune(line)[:max(0, width-2)]) + "…"
}
