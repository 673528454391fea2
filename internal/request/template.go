package request

import (
	"errors"
	"fmt"
	"strings"
)

// part is a piece of a template: a literal, or the name of a placeholder.
type part struct {
	literal string
	name    string
}

var (
	errOpenBrace  = errors.New(`has a "{" without "}"; a brace that is meant is written "{{"`)
	errCloseBrace = errors.New(`has a "}" without "{"; a brace that is meant is written "}}"`)
)

// parseTemplate divides a text into literals and placeholders. "{{" and "}}" are braces.
func parseTemplate(text string) ([]part, error) {
	var parts []part
	var literal strings.Builder
	for i := 0; i < len(text); {
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}"):
			literal.WriteByte(text[i])
			i += 2
		case rest[0] == '}':
			return nil, errCloseBrace
		case rest[0] == '{':
			name, _, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return nil, errOpenBrace
			}
			if literal.Len() > 0 {
				parts = append(parts, part{literal: literal.String()})
				literal.Reset()
			}
			parts = append(parts, part{name: name})
			i += len(name) + 2
		default:
			literal.WriteByte(text[i])
			i++
		}
	}
	if literal.Len() > 0 {
		parts = append(parts, part{literal: literal.String()})
	}
	return parts, nil
}

// checkTemplate returns what is wrong with a text that may have placeholders.
func checkTemplate(text string, known Names) error {
	parts, err := parseTemplate(text)
	if err != nil {
		return err
	}
	return checkNames(parts, known)
}

func checkNames(parts []part, known Names) error {
	for _, p := range parts {
		if p.isPlaceholder() && !known(p.name) {
			return fmt.Errorf("has the unknown placeholder {%s}; a brace that is meant is written %q or %q", p.name, "{{", "}}")
		}
	}
	return nil
}

func (p part) isPlaceholder() bool { return p.literal == "" }

// fillTemplate returns the text with its placeholders filled in, each value as encode writes it.
func fillTemplate(text string, values Values, encode func(string) string) (string, error) {
	if !strings.ContainsAny(text, "{}") {
		return text, nil
	}
	parts, err := parseTemplate(text)
	if err != nil {
		return "", err
	}
	var filled strings.Builder
	for _, p := range parts {
		if !p.isPlaceholder() {
			filled.WriteString(p.literal)
			continue
		}
		value, err := lookUp(p.name, values)
		if err != nil {
			return "", err
		}
		filled.WriteString(encode(value.Text))
	}
	return filled.String(), nil
}

// MissingError is the lack of a value for a placeholder that exists.
type MissingError struct{ Name string }

func (e *MissingError) Error() string { return "has {" + e.Name + "}, which has no value" }

func lookUp(name string, values Values) (Value, error) {
	value, found := values(name)
	if !found {
		return value, &MissingError{Name: name}
	}
	return value, nil
}

// asGiven is the encoding of a text without any syntax of its own.
func asGiven(text string) string { return text }
