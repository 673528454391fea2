package health

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine is the longest line of Prometheus text that is read.
const maxLine = 64 << 10

var errSelector = errors.New(`the metric is not written as name or name{label="value"}`)

// series is the left half of a line of Prometheus text: a name and labels.
type series struct {
	name   string
	labels map[string]string
}

// promNumbers reads the Prometheus text format and gives the values of all series that selector means: those of its
// name that carry at least its labels. It fails when there are none, and never leaves one out.
func promNumbers(r io.Reader, selector string) ([]float64, error) {
	want, rest, err := parseSeries(strings.TrimSpace(selector))
	if err != nil || strings.TrimSpace(rest) != "" {
		return nil, errSelector
	}
	var numbers []float64
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := bytes.TrimLeft(lines.Bytes(), " \t")
		if !bytes.HasPrefix(line, []byte(want.name)) {
			continue
		}
		v, meant, err := want.value(string(line))
		if err != nil {
			return nil, err
		}
		if meant {
			numbers = append(numbers, v)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("the answer has no %s", selector)
	}
	return numbers, nil
}

// value is the number on a line, and whether the line is one of the series that s means.
func (s series) value(line string) (v float64, meant bool, err error) {
	has, rest, err := parseSeries(line)
	if has.name != s.name {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("a line of %s cannot be read", s.name)
	}
	for label, value := range s.labels {
		if has.labels[label] != value {
			return 0, false, nil
		}
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 || strings.ContainsAny(fields[0], "pPxX_") { // Go's numbers, but not Prometheus's
		return 0, false, fmt.Errorf("a line of %s has no number", s.name)
	}
	v, err = strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, false, fmt.Errorf("a line of %s has no number", s.name)
	}
	return v, true, nil
}

// parseSeries reads name{label="value",…} and gives what follows it.
func parseSeries(text string) (s series, rest string, err error) {
	end := strings.IndexFunc(text, func(r rune) bool { return !nameRune(r) })
	if end < 0 {
		end = len(text)
	}
	s.name, rest = text[:end], strings.TrimLeft(text[end:], " \t")
	if s.name == "" || s.name[0] >= '0' && s.name[0] <= '9' {
		return s, "", errSelector
	}
	if !strings.HasPrefix(rest, "{") {
		return s, text[end:], nil
	}
	s.labels, rest, err = parseLabels(rest[1:])
	return s, rest, err
}

func parseLabels(text string) (labels map[string]string, rest string, err error) {
	labels = map[string]string{}
	for {
		text = strings.TrimLeft(text, " \t")
		if after, ok := strings.CutPrefix(text, "}"); ok {
			return labels, after, nil
		}
		name, after, ok := strings.Cut(text, "=")
		name, after = strings.TrimSpace(name), strings.TrimLeft(after, " \t")
		if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }) {
			return nil, "", errSelector
		}
		if labels[name], text, err = parseQuoted(after); err != nil {
			return nil, "", err
		}
		text = strings.TrimLeft(text, " \t")
		switch after, comma := strings.CutPrefix(text, ","); {
		case comma:
			text = after
		case !strings.HasPrefix(text, "}"):
			return nil, "", errSelector
		}
	}
}

// parseQuoted reads a label's value: \\, \" and \n are its only escapes.
func parseQuoted(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", errSelector
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(text):
			i++
			b.WriteString(unescaped(text[i]))
		}
	}
	return "", "", errSelector
}

func unescaped(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case '"', '\\':
		return string(c)
	default:
		return `\` + string(c)
	}
}

func nameRune(r rune) bool {
	return r == '_' || r == ':' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
