package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/gitsource"
	"rollcall/internal/rollout"
)

// templateFuncs returns the functions of the templates.
func templateFuncs(a *assets) template.FuncMap {
	return template.FuncMap{
		"asset": a.assetPath, "root": func() string { return root }, "humanize": humanize, "glyph": stateGlyph,
		"formatTime": formatTime, "formatDay": formatDay, "formatDuration": formatDuration, "count": countNoun, "orUnknown": orUnknown, "shortID": shortID, "capitalize": capitalize,
		"markTimes": markTimes, "commit": shortCommit, "sourceGlyph": sourceGlyph, "driftedTargets": driftedTargets,
		"formatDefault": formatDefault, "formatDurationText": formatDurationText, "frequency": formatFrequency, "formatPercent": formatPercent,
		"percent": func(n, of int) int { return percentOf(n, of) },
	}
}

// timePattern matches the times in a reason.
var timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// markTimes escapes a text and marks its times, which the script then shows in the reader's time zone.
func markTimes(text string) template.HTML {
	escaped := template.HTMLEscapeString(text)
	return template.HTML(timePattern.ReplaceAllStringFunc(escaped, func(at string) string { //nolint:gosec // escaped above; what matches is digits
		return `<time datetime="` + at + `" data-clock>` + at[len("2006-01-02T"):len("2006-01-02T15:04:05")] + ` UTC</time>`
	}))
}

// humanize returns a state with spaces for underscores.
func humanize(state any) string { return strings.ReplaceAll(fmt.Sprint(state), "_", " ") }

// stateGlyph returns a shape that distinguishes a deployment's state without its colour.
func stateGlyph(state rollout.State) string {
	return map[rollout.State]string{
		rollout.StatePending: "○", rollout.StateInProgress: "▶", rollout.StatePaused: "Ⅱ", rollout.StateRollingBack: "◀",
		rollout.StateCompleted: "✓", rollout.StateFailed: "✕", rollout.StateRolledBack: "↩", rollout.StateAborted: "■",
		rollout.StateSuperseded: "»",
	}[state]
}

// sourceGlyph returns a shape that distinguishes a source's state without its colour.
func sourceGlyph(state gitsource.State) string {
	return map[gitsource.State]string{
		gitsource.StateSynced: "✓", gitsource.StateDrifted: "≠", gitsource.StateUnknown: "?", gitsource.StateError: "✕",
	}[state]
}

// driftedTargets counts the targets of a file that run, or may run, another version than it says.
func driftedTargets(f gitsource.File) int {
	drifted, unknown := f.CountDrift()
	return drifted + unknown
}

// shortCommit abbreviates a commit's hash.
func shortCommit(sha string) string {
	if sha == "" {
		return "none yet"
	}
	return sha[:min(len(sha), 10)]
}

// formatTime formats a time for machines; it returns an empty string for none.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// formatDay formats a time in UTC, for browsers without scripts.
func formatDay(t time.Time) string { return t.UTC().Format("2 Jan 15:04:05") + " UTC" }

// formatDuration formats a duration in its two largest units.
func formatDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
}

// formatDurationText formats a duration in Go's notation for people; it returns an empty string for zero.
func formatDurationText(duration string) string {
	d, err := time.ParseDuration(duration)
	if err != nil || d == 0 {
		return ""
	}
	return formatDuration(d)
}

// formatDefault formats a JSON value as a user would type it.
func formatDefault(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return strings.NewReplacer("[", "", "]", "", ",", ", ").Replace(string(value))
}

// countNoun returns a number with its noun: "1 target", "3 targets".
func countNoun(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// orUnknown returns a version, or "unknown".
func orUnknown(version string) string {
	if version == "" {
		return "unknown"
	}
	return version
}

// shortID returns the end of an id: the part of a version 7 UUID that is random.
func shortID(id string) string {
	if len(id) <= 8 {
		return id
	}
	return id[len(id)-8:]
}

func capitalize(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// percentOf returns n of a whole in percent.
func percentOf(n, of int) int {
	if of <= 0 {
		return 0
	}
	return (n*100 + of/2) / of
}
