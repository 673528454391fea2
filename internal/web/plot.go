package web

import (
	"fmt"
	"math"
	"time"

	"rollcall/internal/rollout"
)

// plot shows each deployment as a mark: when it was created, and how long it took on a logarithmic scale. Coordinates are
// those of a drawing of plotWidth by plotHeight.
type plot struct {
	Marks  []mark
	Lines  []line
	Ticks  []tick
	Width  int
	Height int
	// Left and Right bound the drawing; the labels of the scale end at Edge.
	Left, Right, Edge int
}

type mark struct {
	X, Y float64
	D    *rollout.Deployment
	Took time.Duration
	Good bool
}

// line is a horizontal line of the scale, tick a day below it.
type line struct {
	Y     float64
	Label string
}

type tick struct {
	X     float64
	Label string
}

// The drawing's size, and the margins for its labels.
const (
	plotWidth, plotHeight = 900, 260
	plotLeft, plotRight   = 72, 36
	plotTop, plotBottom   = 14, 30
	ticks                 = 6
)

func makePlot(ended []rollout.Deployment, since, until time.Time) plot {
	p := plot{
		Width: plotWidth, Height: plotHeight, Ticks: dayTicks(since, until),
		Left: plotLeft, Right: plotWidth - plotRight, Edge: plotLeft - 8,
	}
	low, high := scaleBounds(ended)
	for _, step := range scaleSteps() {
		if step >= low && step <= high {
			p.Lines = append(p.Lines, line{yAt(step, low, high), formatStep(step)})
		}
	}
	for i := range ended {
		d := &ended[i]
		took := runTime(d)
		p.Marks = append(p.Marks, mark{
			X: xAt(d.CreatedAt, since, until), Y: yAt(took, low, high), D: d, Took: took, Good: d.Result.Success,
		})
	}
	return p
}

// scaleSteps returns the durations that have a line.
func scaleSteps() []time.Duration {
	return []time.Duration{
		100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
	}
}

// formatStep formats a step of the scale.
func formatStep(step time.Duration) string {
	switch {
	case step < time.Second:
		return fmt.Sprintf("%.1f s", step.Seconds())
	case step < time.Minute:
		return fmt.Sprintf("%d s", step/time.Second)
	case step < time.Hour:
		return fmt.Sprintf("%d min", step/time.Minute)
	case step < 24*time.Hour:
		return fmt.Sprintf("%d h", step/time.Hour)
	default:
		return countNoun(int(step/(24*time.Hour)), "day")
	}
}

// scaleBounds returns the steps of the scale around all durations.
func scaleBounds(ended []rollout.Deployment) (low, high time.Duration) {
	steps := scaleSteps()
	shortest, longest := time.Duration(math.MaxInt64), time.Duration(0)
	for i := range ended {
		shortest, longest = min(shortest, runTime(&ended[i])), max(longest, runTime(&ended[i]))
	}
	low, high = steps[0], steps[len(steps)-1]
	for _, step := range steps {
		if step <= shortest {
			low = step
		}
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i] >= longest && steps[i] > low {
			high = steps[i]
		}
	}
	return low, high
}

func xAt(at, since, until time.Time) float64 {
	part := at.Sub(since).Seconds() / until.Sub(since).Seconds()
	return roundToTenth(plotLeft + part*(plotWidth-plotLeft-plotRight))
}

func yAt(took, low, high time.Duration) float64 {
	of := func(d time.Duration) float64 { return math.Log(max(d.Seconds(), 0.001)) }
	part := (of(took) - of(low)) / (of(high) - of(low))
	return roundToTenth(plotHeight - plotBottom - min(max(part, 0), 1)*(plotHeight-plotTop-plotBottom))
}

func roundToTenth(x float64) float64 { return math.Round(x*10) / 10 }

func dayTicks(since, until time.Time) []tick {
	list := make([]tick, 0, ticks)
	for i := range ticks {
		at := since.Add(until.Sub(since) * time.Duration(i) / (ticks - 1))
		label := at.Format("2 Jan")
		if until.Sub(since) <= 48*time.Hour {
			label = at.Format("15:04")
		}
		list = append(list, tick{xAt(at, since, until), label})
	}
	return list
}

// outcomes is a bar chart over equal parts of the time: how many deployments succeeded and how many did not.
type outcomes struct {
	Bars []bar
	Max  int
	// Good of All succeeded.
	Good, All         int
	Ticks             []tick
	Width             int
	Height            int
	Left, Right, Edge int
}

type bar struct {
	X, Width        float64
	GoodY, GoodHigh float64
	BadY, BadHigh   float64
	Good, Bad       int
	Label           string
}

const (
	outcomeBars   = 30
	outcomeHeight = 150
)

func makeOutcomes(ended []rollout.Deployment, since, until time.Time) outcomes {
	bars := make([]bar, outcomeBars)
	for i := range ended {
		at := int(ended[i].CreatedAt.Sub(since) * outcomeBars / until.Sub(since))
		b := &bars[min(max(at, 0), outcomeBars-1)]
		if ended[i].Result.Success {
			b.Good++
		} else {
			b.Bad++
		}
	}
	return drawOutcomes(bars, since, until)
}

// drawOutcomes computes the coordinates of counted bars.
func drawOutcomes(bars []bar, since, until time.Time) outcomes {
	o := outcomes{
		Width: plotWidth, Height: outcomeHeight, Ticks: dayTicks(since, until), Bars: bars,
		Left: plotLeft, Right: plotWidth - plotRight, Edge: plotLeft - 8,
	}
	for i := range bars {
		o.Max, o.Good, o.All = max(o.Max, bars[i].Good+bars[i].Bad), o.Good+bars[i].Good, o.All+bars[i].Good+bars[i].Bad
	}
	room := float64(outcomeHeight - plotTop - plotBottom)
	step := float64(plotWidth-plotLeft-plotRight) / float64(len(bars))
	for i := range bars {
		b := &bars[i]
		b.X, b.Width = roundToTenth(plotLeft+float64(i)*step+1), roundToTenth(step-2)
		b.Label = since.Add(until.Sub(since) * time.Duration(i) / time.Duration(len(bars))).Format("2 Jan 15:04")
		if o.Max > 0 {
			b.GoodHigh, b.BadHigh = roundToTenth(room*float64(b.Good)/float64(o.Max)), roundToTenth(room*float64(b.Bad)/float64(o.Max))
		}
		b.GoodY = roundToTenth(float64(outcomeHeight-plotBottom) - b.GoodHigh)
		b.BadY = roundToTenth(b.GoodY - b.BadHigh)
	}
	return o
}
