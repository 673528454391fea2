package main

import (
	"fmt"
	"io"
	"time"

	"rollcall/internal/api/gen"
)

// view is where a deployment is shown while it goes on.
type view interface {
	show(d gen.Deployment)
	close()
}

// view is bars on a terminal, lines in a log, and nothing where JSON is wanted.
func (s *session) view(d *gen.Deployment) view {
	switch {
	case s.json:
		return silence{}
	case s.screen != nil:
		return newBars(s.screen)
	default:
		fmt.Fprintf(s.out, "%s (deployment %s)\n", title(d), d.ID)
		return &lines{out: s.out}
	}
}

type silence struct{}

func (silence) show(gen.Deployment) {}
func (silence) close()              {}

// lines are one line for each change that a reader of a log cares for.
type lines struct {
	out  io.Writer
	last string
}

func (l *lines) show(d gen.Deployment) {
	line := fmt.Sprintf("%-12s %s  %s", d.State, progress(&d), printable(d.Reason))
	if line == l.last {
		return
	}
	l.last = line
	fmt.Fprintf(l.out, "%s  %s\n", time.Now().Format(time.TimeOnly), line)
}

func (l *lines) close() {}

// progress is how far a deployment is, in figures.
func progress(d *gen.Deployment) string {
	p := d.Progress
	text := fmt.Sprintf("%d/%d updated", p.TargetsUpdated, p.TargetsTotal)
	if p.Waves > 1 {
		text += fmt.Sprintf(", wave %d/%d", p.Wave, p.Waves)
	}
	if d.Traffic != nil {
		text += fmt.Sprintf(", %d%% of traffic", p.TrafficWeight)
	}
	if p.TargetsFailed > 0 {
		text += fmt.Sprintf(", %d failed", p.TargetsFailed)
	}
	if p.TargetsUnknown > 0 {
		text += fmt.Sprintf(", %d unknown", p.TargetsUnknown)
	}
	return text
}
