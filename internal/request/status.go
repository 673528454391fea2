package request

import (
	"strconv"
	"strings"
)

// DefaultOK and DefaultRetryOn are the lists of a call that has none of its own.
func DefaultOK() []string { return []string{"200-299"} }

// DefaultRetryOn returns the statuses that ask for another attempt.
func DefaultRetryOn() []string { return []string{"408", "425", "429", "500-599"} }

// StatusIn reports whether a status is among codes ("204") and ranges ("200-299").
func StatusIn(list []string, status int) bool {
	for _, item := range list {
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 == nil && err2 == nil && from <= status && status <= to {
			return true
		}
	}
	return false
}
