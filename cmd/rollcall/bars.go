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

	"rollcall/internal/api/types"
)

// screen is a terminal on which lines can be redrawn.
type screen struct {
	out   io.Writer
	width func() int
}

// screenOf returns the terminal behind out; nil if there is none, or if it cannot move its cursor.
func screenOf(out io.Writer) *screen {
	file, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &screen{out: out, width: func() int {
		const defaultWidth = 80
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width < 1 {
			return defaultWidth
		}
		return width
	}}
}

// redrawEvery is the interval at which the elapsed time on the screen is updated.
const redrawEvery = time.Second

// bars draws a deployment's progress in place.
type bars struct {
	screen *screen
	stop   func()
	mu     sync.Mutex
	drawn  int // lines on the screen
	now    *types.Deployment
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
				b.drawLines()
			}
		}
	}()
	return b
}

func (b *bars) showDeployment(d types.Deployment) {
	b.mu.Lock()
	b.now = &d
	b.mu.Unlock()
	b.drawLines()
}

func (b *bars) close() { b.stop() }

func (b *bars) drawLines() {
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
		fmt.Fprintf(&text, "\r\x1b[2K%s\n", shortenLine(line, width))
	}
	b.drawn = len(drawn)
	fmt.Fprint(b.screen.out, text.String())
}

// barLines returns the lines to draw for a deployment: its title, its progress and its reason.
func barLines(d *types.Deployment, width int, now time.Time) []string {
	const maxCells, besideBar = 40, 60
	cells := max(10, min(maxCells, width-besideBar))
	reason := replaceControls(d.Reason)
	if d.NextActionAt != nil {
		if left := d.NextActionAt.Sub(now).Round(time.Second); left > 0 {
			reason += fmt.Sprintf(" (%s)", left)
		}
	}
	return []string{
		fmt.Sprintf("%s  %s  %s", deploymentTitle(d), d.State, elapsedTime(d, now)),
		fmt.Sprintf("%s %s", progressBar(d, cells), progressText(d)),
		"  " + reason,
	}
}

// progressBar returns a bar with the shares of targets that are updated, failed, and in flight.
func progressBar(d *types.Deployment, cells int) string {
	p := d.Progress
	total := max(1, p.TargetsTotal)
	updated := p.TargetsUpdated * cells / total
	failed := min(cells-updated, divideUp(p.TargetsFailed*cells, total))
	busy := min(cells-updated-failed, divideUp(p.TargetsInFlight*cells, total))
	return "[" + strings.Repeat("█", updated) + strings.Repeat("✗", failed) + strings.Repeat("▒", busy) +
		strings.Repeat("·", cells-updated-failed-busy) + "]"
}

// divideUp divides and rounds up, so that one of a thousand is visible, too.
func divideUp(a, b int) int { return (a + b - 1) / b }

// shortenLine shortens a line that would wrap: redrawing counts on unwrapped lines.
func shortenLine(line string, width int) string {
	if utf8.RuneCountInString(line) < width {
		return line
	}
	return string([]rune(line)[:max(0, width-2)]) + "…"
}
