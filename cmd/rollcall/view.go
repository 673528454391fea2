package main

import (
	"fmt"
	"io"
	"time"

	"rollcall/internal/api/types"
)

// view shows a deployment while it runs.
type view interface {
	showDeployment(d types.Deployment)
	close()
}

// newView returns bars for a terminal, lines for a log, and nothing for JSON.
func (a *app) newView(d *types.Deployment) view {
	switch {
	case a.json:
		return silence{}
	case a.screen != nil:
		return newBars(a.screen)
	default:
		fmt.Fprintf(a.out, "%s (deployment %s)\n", deploymentTitle(d), d.ID)
		return &lines{out: a.out}
	}
}

type silence struct{}

func (silence) showDeployment(types.Deployment) {}
func (silence) close()                          {}

// lines writes one line for each visible change.
type lines struct {
	out  io.Writer
	last string
}

func (l *lines) showDeployment(d types.Deployment) {
	line := fmt.Sprintf("%-12s %s  %s", d.State, progressText(&d), replaceControls(d.Reason))
	if line == l.last {
		return
	}
	l.last = line
	fmt.Fprintf(l.out, "%s  %s\n", time.Now().Format(time.TimeOnly), line)
}

func (l *lines) close() {}

// progressText returns a deployment's progress in figures.
func progressText(d *types.Deployment) string {
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
