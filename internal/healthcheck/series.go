package healthcheck

import (
	"errors"
	"strings"
)

// Series is a name and labels, as a line of Prometheus' text format begins and as a check names what it looks for.
type Series struct {
	Name   string
	Labels map[string]string
}

var errSelector = errors.New(
	`must be written as name, name{label="value"} or {"any name", label="value"}: a page is searched for it, so there are ` +
		`no functions and no matchers but =; PromQL belongs into query`)

// ParseSelector reads the name of a metric as a check gives it, with the labels that must be there. Its error begins with
// "must".
func ParseSelector(text string) (Series, error) {
	s, rest, err := ParseSeries(strings.TrimSpace(text))
	if err != nil || strings.TrimSpace(rest) != "" {
		return Series{}, errSelector
	}
	return s, nil
}

// NeedsQuotes reports whether the series can only be written with quotes, as Prometheus 3 and its newer clients do: its name or
// that of a label has characters other than letters, digits, "_" and ":".
func (s Series) NeedsQuotes() bool {
	for label := range s.Labels {
		if !plainName(label) {
			return true
		}
	}
	return !plainName(s.Name)
}

// ParseSeries reads name{label="value",…} or {"name",label="value",…} at the beginning of text and gives what follows it.
// In the second form label names may be quoted, too. After an error, Name is what was read of it.
func ParseSeries(text string) (s Series, rest string, err error) {
	end := strings.IndexFunc(text, func(r rune) bool { return !nameRune(r) })
	if end < 0 {
		end = len(text)
	}
	s.Name, rest = text[:end], strings.TrimLeft(text[end:], " \t")
	braces := strings.HasPrefix(rest, "{")
	if s.Name != "" && !plainName(s.Name) || s.Name == "" && !braces {
		return s, "", errSelector
	}
	if !braces {
		return s, text[end:], nil
	}
	rest, err = s.parseBraces(rest[1:])
	if err == nil && s.Name == "" {
		err = errSelector
	}
	return s, rest, err
}

// parseBraces reads what stands between braces, and gives what follows them.
func (s *Series) parseBraces(text string) (rest string, err error) {
	s.Labels = map[string]string{}
	for {
		text = strings.TrimLeft(text, " \t")
		if after, ok := strings.CutPrefix(text, "}"); ok {
			return after, nil
		}
		if text, err = s.parseItem(text); err != nil {
			return "", err
		}
		text = strings.TrimLeft(text, " \t")
		switch after, comma := strings.CutPrefix(text, ","); {
		case comma:
			text = after
		case !strings.HasPrefix(text, "}"):
			return "", errSelector
		}
	}
}

// parseItem reads one label, or the name in quotes.
func (s *Series) parseItem(text string) (rest string, err error) {
	var name string
	quoted := strings.HasPrefix(text, `"`)
	if quoted {
		name, text, err = parseQuoted(text)
	} else {
		end := strings.IndexFunc(text, func(r rune) bool { return !nameRune(r) })
		name, text = text[:max(end, 0)], text[max(end, 0):]
	}
	if err != nil || name == "" || !quoted && !plainName(name) {
		return "", errSelector
	}
	value, isLabel := strings.CutPrefix(strings.TrimLeft(text, " \t"), "=")
	switch {
	case isLabel:
		s.Labels[name], rest, err = parseQuoted(strings.TrimLeft(value, " \t"))
		return rest, err
	case !quoted || s.Name != "":
		return "", errSelector
	default:
		s.Name = name
		return text, nil
	}
}

// parseQuoted reads what stands in double quotes: \\, \" and \n are the only escapes.
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
			b.WriteString(unescapeByte(text[i]))
		}
	}
	return "", "", errSelector
}

func unescapeByte(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case '"', '\\':
		return string(c)
	default:
		return `\` + string(c)
	}
}

// plainName reports whether a name can be written without quotes.
func plainName(name string) bool {
	return name != "" && (name[0] < '0' || name[0] > '9') && !strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) })
}

func nameRune(r rune) bool {
	return r == '_' || r == ':' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
