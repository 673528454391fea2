package api

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/duration"
	"rollcall/internal/problem"
)

// maxDuration is the maximum of durations without a bound of their own.
const maxDuration = 30 * 24 * time.Hour

// findings collects the problems of a request that its schema accepts.
type findings struct {
	problems []problem.FieldError
}

func (f *findings) add(pointer, format string, args ...any) {
	if len(f.problems) < httpkit.MaxFieldErrors {
		f.problems = append(f.problems, problem.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

// err returns the problems as an error; nil for none.
func (f *findings) err() error { return problem.Invalid(f.problems) }

// checkVersion rejects versions that no target would report: most likely a script has quoting errors.
func (f *findings) checkVersion(given, pointer string) {
	if given != strings.TrimSpace(given) {
		f.add(pointer, "must not begin or end with spaces: %q", given)
	}
	if strings.ContainsAny(given, "\"'`\u2018\u2019\u201c\u201d") {
		f.add(pointer, "must not contain quotes: %s", given)
	}
}

// bounds are the default and the limits of a duration.
type bounds struct {
	fallback, min, max time.Duration
}

func (f *findings) parseDuration(given *string, pointer string, b bounds) duration.Duration {
	if given == nil {
		return duration.Duration(b.fallback)
	}
	d, err := time.ParseDuration(*given)
	switch {
	case err != nil:
		f.add(pointer, "must be a duration such as \"30s\" or \"1m30s\"")
	case d < b.min:
		f.add(pointer, "must be at least %s", b.min)
	case d > b.max:
		f.add(pointer, "must be at most %s", b.max)
	}
	return duration.Duration(d)
}

// jsonPointer checks a JSON pointer (RFC 6901) that names a part, so not the empty one.
func (f *findings) jsonPointer(given *string, pointer string) string {
	if given == nil {
		return ""
	}
	escapes := strings.NewReplacer("~0", "", "~1", "").Replace(*given)
	if !strings.HasPrefix(*given, "/") || strings.Contains(escapes, "~") || strings.ContainsFunc(*given, unicode.IsControl) {
		f.add(pointer, "must be a JSON pointer (RFC 6901) that starts with \"/\"")
	}
	return *given
}

// valueOr returns the given value, else the fallback.
func valueOr[T any](given *T, fallback T) T {
	if given == nil {
		return fallback
	}
	return *given
}
