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

// words are what templates say things with.
func words(a *assets) template.FuncMap {
	return template.FuncMap{
		"asset": a.path, "root": func() string { return root }, "plain": plain, "glyph": glyph,
		"stamp": stamp, "day": day, "lasted": lasted, "count": count, "known": known, "short": short, "capital": capital,
		"timed": timed, "commit": commit, "sourceGlyph": sourceGlyph, "adrift": adrift,
		"plainDefault": plainDefault, "spelled": spelled, "often": often, "rate": rate,
		"percent": func(n, of int) int { return share(n, of) },
	}
}

// instants finds the times that a reason names.
var instants = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// timed is a sentence in which each time is one that the script can tell in the reader's own zone.
func timed(text string) template.HTML {
	escaped := template.HTMLEscapeString(text)
	return template.HTML(instants.ReplaceAllStringFunc(escaped, func(at string) string { //nolint:gosec // escaped above; what matches is digits
		return `<time datetime="` + at + `" data-clock>` + at[len("2006-01-02T"):len("2006-01-02T15:04:05")] + ` UTC</time>`
	}))
}

// plain is a state as people write it.
func plain(state any) string { return strings.ReplaceAll(fmt.Sprint(state), "_", " ") }

// glyph is a shape that tells a deployment's state without its colour.
func glyph(state rollout.State) string {
	return map[rollout.State]string{
		rollout.StatePending: "○", rollout.StateInProgress: "▶", rollout.StatePaused: "Ⅱ", rollout.StateRollingBack: "◀",
		rollout.StateCompleted: "✓", rollout.StateFailed: "✕", rollout.StateRolledBack: "↩", rollout.StateAborted: "■",
		rollout.StateSuperseded: "»",
	}[state]
}

// sourceGlyph is a shape that tells a source's state without its colour.
func sourceGlyph(state gitsource.State) string {
	return map[gitsource.State]string{
		gitsource.StateSynced: "✓", gitsource.StateDrifted: "≠", gitsource.StateUnknown: "?", gitsource.StateError: "✕",
	}[state]
}

// adrift counts the targets of a file that do not run what it says, as far as anybody knows.
func adrift(f gitsource.File) int {
	drifted, unknown := f.Drifted()
	return drifted + unknown
}

// commit is the part of a commit's name that people tell it by.
func commit(sha string) string {
	if sha == "" {
		return "none yet"
	}
	return sha[:min(len(sha), 10)]
}

// stamp is a time for machines; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// day is a time for people who have no script that tells it in their own zone.
func day(t time.Time) string { return t.UTC().Format("2 Jan 15:04:05") + " UTC" }

// lasted is how long something took, in the two units that matter.
func lasted(d time.Duration) string {
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

// spelled is a Go duration as people write it; empty for none.
func spelled(duration string) string {
	d, err := time.ParseDuration(duration)
	if err != nil || d == 0 {
		return ""
	}
	return lasted(d)
}

// plainDefault is a JSON value as a person would fill it in; empty for none.
func plainDefault(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return strings.NewReplacer("[", "", "]", "", ",", ", ").Replace(string(value))
}

// count is a number of things: "1 target", "3 targets".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// known is a version, or that nobody knows it.
func known(version string) string {
	if version == "" {
		return "unknown"
	}
	return version
}

// short is the part of an id that people tell deployments by: the end, where ids of version 7 are random.
func short(id string) string {
	if len(id) <= 8 {
		return id
	}
	return id[len(id)-8:]
}

func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// share is n of a whole in percent.
func share(n, of int) int {
	if of <= 0 {
		return 0
	}
	return (n*100 + of/2) / of
}
