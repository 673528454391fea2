// Package nullable makes pointers for JSON fields that are null where a value is missing.
package nullable

import "time"

// Of returns nil for the zero value, else a pointer to v.
func Of[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Time returns nil for the zero time, else a pointer to t in UTC.
func Time(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
