package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/problem"
)

// Bounds of a JSON body. Those of lists and objects only keep its checks cheap; openapi.yaml has the real ones.
const (
	maxDepth      = 32
	maxListItems  = 10_000
	maxFields     = 1_000
	maxFieldName  = 256
	maxShownBytes = 64
)

// checkJSON refuses what encoding/json would let through or repair: with a malformed refusal two fields of one name,
// invalid UTF-8, half surrogate pairs, bytes after the value, and too deep nesting; with a CodeInvalid error what a
// database cannot store (NUL characters, numbers beyond a float64) and text that deceives who reads it.
func checkJSON(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return malformed("request body is empty")
	}
	if !utf8.Valid(body) {
		return malformed("request body is not UTF-8")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return malformed("invalid JSON: " + syntaxDetail(err))
	}
	if at := loneSurrogate(body); at >= 0 {
		return malformed(fmt.Sprintf("unpaired surrogate at byte %d", at))
	}
	w := jsonWalker{dec: json.NewDecoder(bytes.NewReader(body))}
	w.dec.UseNumber()
	if err := w.next(); err != nil {
		return err
	}
	return problem.Invalid(w.problems)
}

func syntaxDetail(err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%s at byte %d", e.Error(), e.Offset)
	}
	return err.Error()
}

// loneSurrogate returns where a \u escape stands for half a pair, or -1. The body must be valid JSON, in which a backslash
// stands only in strings.
func loneSurrogate(body []byte) int {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++ // what follows is escaped, a second backslash, too
		if body[i] != 'u' {
			continue
		}
		switch unit := hexUnit(body[i+1:]); {
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return i - 1
		case unit >= 0xD800 && unit <= 0xDBFF:
			rest := body[i+5:]
			if !bytes.HasPrefix(rest, []byte(`\u`)) {
				return i - 1
			}
			if low := hexUnit(rest[2:]); low < 0xDC00 || low > 0xDFFF {
				return i - 1
			}
			i += 6
		}
		i += 4
	}
	return -1
}

// hexUnit reads four hexadecimal digits; -1 when there are none.
func hexUnit(b []byte) int64 {
	if len(b) < 4 {
		return -1
	}
	unit, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return int64(unit)
}

// jsonWalker goes through a JSON value that is known to be well formed.
type jsonWalker struct {
	dec *json.Decoder
	// path leads to the present value, each step escaped for a JSON pointer.
	path     []string
	problems []problem.FieldError
}

func (w *jsonWalker) pointer() string {
	if len(w.path) == 0 {
		return ""
	}
	return "/" + strings.Join(w.path, "/")
}

func (w *jsonWalker) problem(detail string) {
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, problem.FieldError{Pointer: w.pointer(), Detail: detail})
	}
}

// next walks the next value, whatever it is.
func (w *jsonWalker) next() error {
	token, err := w.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return malformed("request body is empty")
		}
		return malformed("invalid JSON: " + syntaxDetail(err))
	}
	switch t := token.(type) {
	case json.Delim:
		return w.enter(t)
	case string:
		w.text(t)
	case json.Number:
		w.number(t)
	}
	return nil
}

func (w *jsonWalker) text(s string) {
	switch {
	case strings.ContainsRune(s, 0):
		w.problem("must not have NUL characters")
	case strings.ContainsFunc(s, deceptive):
		w.problem(mustNotDeceive)
	}
}

const mustNotDeceive = "must not have characters that change the direction or the line of text"

// deceptive reports characters that make text look like other text in a log or on a page: bidirectional controls, and
// Unicode's own line and paragraph ends.
func deceptive(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

func (w *jsonWalker) number(n json.Number) {
	f, err := strconv.ParseFloat(n.String(), 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(n.String()), "e")
	if err != nil || (f == 0 && strings.ContainsAny(mantissa, "123456789")) {
		w.problem("the number is out of range")
	}
}

func (w *jsonWalker) enter(open json.Delim) error {
	if len(w.path) >= maxDepth {
		return malformed(fmt.Sprintf("JSON is nested deeper than %d levels", maxDepth))
	}
	w.path = append(w.path, "")
	walk := w.list
	if open == '{' {
		walk = w.object
	}
	if err := walk(); err != nil {
		return err
	}
	w.path = w.path[:len(w.path)-1]
	_, err := w.dec.Token() // the closing bracket
	return err
}

func (w *jsonWalker) list() error {
	for i := 0; w.dec.More(); i++ {
		if i == maxListItems {
			return w.tooMany("items", maxListItems)
		}
		w.path[len(w.path)-1] = strconv.Itoa(i)
		if err := w.next(); err != nil {
			return err
		}
	}
	return nil
}

func (w *jsonWalker) object() error {
	seen := map[string]bool{}
	for w.dec.More() {
		if len(seen) == maxFields {
			return w.tooMany("fields", maxFields)
		}
		token, err := w.dec.Token()
		if err != nil {
			return fmt.Errorf("read a field's name: %w", err)
		}
		name, _ := token.(string)
		if seen[name] {
			return malformed("the field " + shown(name) + " is duplicated")
		}
		seen[name] = true
		if err := w.field(name); err != nil {
			return err
		}
	}
	return nil
}

func (w *jsonWalker) field(name string) error {
	if len(name) > maxFieldName {
		w.path = w.path[:len(w.path)-1]
		return invalidAt(w.pointer(), "the field name "+shown(name)+" is too long")
	}
	w.path[len(w.path)-1] = escapePointer(name)
	w.text(name)
	return w.next()
}

// tooMany blames the list or object that is being walked.
func (w *jsonWalker) tooMany(what string, most int) error {
	w.path = w.path[:len(w.path)-1]
	return invalidAt(w.pointer(), fmt.Sprintf("has too many %s; the limit is %d", what, most))
}

// shown returns text of a request, short enough for an answer.
func shown(s string) string {
	if len(s) > maxShownBytes {
		s = strings.ToValidUTF8(s[:maxShownBytes], "") + "…"
	}
	return strconv.Quote(s)
}

// escapePointer writes a field's name as a step of a JSON pointer (RFC 6901, section 3).
func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
