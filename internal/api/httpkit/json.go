package httpkit

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

// CheckJSON rejects what encoding/json would accept or repair. Duplicate fields, invalid UTF-8, unpaired surrogates, bytes
// after the value and too deep nesting are a malformed request. NUL characters, numbers beyond a float64, which a database
// cannot store, and deceptive text are CodeInvalid.
func CheckJSON(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return MalformedError("request body is empty")
	}
	if !utf8.Valid(body) {
		return MalformedError("request body is not UTF-8")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return MalformedError("invalid JSON: " + syntaxDetail(err))
	}
	if at := loneSurrogate(body); at >= 0 {
		return MalformedError(fmt.Sprintf("unpaired surrogate at byte %d", at))
	}
	w := jsonWalker{dec: json.NewDecoder(bytes.NewReader(body))}
	w.dec.UseNumber()
	if err := w.walkValue(); err != nil {
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

// loneSurrogate returns the offset of a \u escape that is an unpaired surrogate, or -1. The body must be valid JSON, which
// has backslashes only in strings.
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

// jsonWalker walks a JSON value that is known to be well formed.
type jsonWalker struct {
	dec *json.Decoder
	// path leads to the present value, each step escaped for a JSON pointer.
	path     []string
	problems []problem.FieldError
}

func (w *jsonWalker) currentPointer() string {
	if len(w.path) == 0 {
		return ""
	}
	return "/" + strings.Join(w.path, "/")
}

func (w *jsonWalker) addProblem(detail string) {
	if len(w.problems) < MaxFieldErrors {
		w.problems = append(w.problems, problem.FieldError{Pointer: w.currentPointer(), Detail: detail})
	}
}

// walkValue walks the next value of any type.
func (w *jsonWalker) walkValue() error {
	token, err := w.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return MalformedError("request body is empty")
		}
		return MalformedError("invalid JSON: " + syntaxDetail(err))
	}
	switch t := token.(type) {
	case json.Delim:
		return w.walkDelimited(t)
	case string:
		w.checkText(t)
	case json.Number:
		w.checkNumber(t)
	}
	return nil
}

func (w *jsonWalker) checkText(s string) {
	switch {
	case strings.ContainsRune(s, 0):
		w.addProblem("must not have NUL characters")
	case strings.ContainsFunc(s, IsDeceptive):
		w.addProblem(mustNotDeceive)
	}
}

const mustNotDeceive = "must not have characters that change the direction or the line of text"

// IsDeceptive reports characters that make text look like other text in a log or on a page: bidirectional controls, and
// Unicode's own line and paragraph ends.
func IsDeceptive(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

func (w *jsonWalker) checkNumber(n json.Number) {
	f, err := strconv.ParseFloat(n.String(), 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(n.String()), "e")
	if err != nil || (f == 0 && strings.ContainsAny(mantissa, "123456789")) {
		w.addProblem("the number is out of range")
	}
}

func (w *jsonWalker) walkDelimited(open json.Delim) error {
	if len(w.path) >= maxDepth {
		return MalformedError(fmt.Sprintf("JSON is nested deeper than %d levels", maxDepth))
	}
	w.path = append(w.path, "")
	walk := w.walkList
	if open == '{' {
		walk = w.walkObject
	}
	if err := walk(); err != nil {
		return err
	}
	w.path = w.path[:len(w.path)-1]
	_, err := w.dec.Token() // the closing bracket
	return err
}

func (w *jsonWalker) walkList() error {
	for i := 0; w.dec.More(); i++ {
		if i == maxListItems {
			return w.errTooMany("items", maxListItems)
		}
		w.path[len(w.path)-1] = strconv.Itoa(i)
		if err := w.walkValue(); err != nil {
			return err
		}
	}
	return nil
}

func (w *jsonWalker) walkObject() error {
	seen := map[string]bool{}
	for w.dec.More() {
		if len(seen) == maxFields {
			return w.errTooMany("fields", maxFields)
		}
		token, err := w.dec.Token()
		if err != nil {
			return fmt.Errorf("read a field's name: %w", err)
		}
		name, _ := token.(string)
		if seen[name] {
			return MalformedError("the field " + quoteShort(name) + " is duplicated")
		}
		seen[name] = true
		if err := w.walkField(name); err != nil {
			return err
		}
	}
	return nil
}

func (w *jsonWalker) walkField(name string) error {
	if len(name) > maxFieldName {
		w.path = w.path[:len(w.path)-1]
		return InvalidField(w.currentPointer(), "the field name "+quoteShort(name)+" is too long")
	}
	w.path[len(w.path)-1] = problem.EscapePointer(name)
	w.checkText(name)
	return w.walkValue()
}

// errTooMany returns the error of the list or object that is being walked.
func (w *jsonWalker) errTooMany(what string, limit int) error {
	w.path = w.path[:len(w.path)-1]
	return InvalidField(w.currentPointer(), fmt.Sprintf("has too many %s; the limit is %d", what, limit))
}

// quoteShort quotes text of a request, shortened for a response.
func quoteShort(s string) string {
	if len(s) > maxShownBytes {
		s = strings.ToValidUTF8(s[:maxShownBytes], "") + "…"
	}
	return strconv.Quote(s)
}
