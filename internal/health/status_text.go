package health

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/healthcheck"
	"rollcall/internal/jsonpointer"
)

// readsStatusText reports whether the check looks for a status in words.
func readsStatusText(check *healthcheck.Check) bool {
	return check.StatusPointer != "" || len(check.PassValues)+len(check.WarnValues)+len(check.FailValues) > 0
}

// evaluateStatusText judges by the status that the answer gives in words. A status line that means degraded is never made better by it.
func (a *httpResponse) evaluateStatusText(ctx context.Context, check *healthcheck.Check, status string, line healthcheck.Health) healthcheck.ProbeResult {
	if a.err != nil || a.cut {
		return unhealthy(status + ", but " + a.incompleteReason(ctx, "the answer does not end"))
	}
	word, err := a.statusText(check.StatusPointer)
	if err != nil {
		return unknown(status + ", but its status is not known: " + err.Error())
	}
	said := status + ", status " + strconv.Quote(word)
	is := func(list []string) bool {
		return slices.ContainsFunc(list, func(value string) bool { return strings.EqualFold(value, word) })
	}
	seen := healthcheck.ProbeResult{Status: line, Message: said}
	switch {
	case is(check.FailValues):
		seen.Status = healthcheck.Unhealthy
	case is(check.WarnValues):
		seen.Status = healthcheck.Degraded
	case is(check.PassValues):
	default:
		return unknown(said + ", which is in none of the check's lists")
	}
	return seen
}

// statusText returns the status at the pointer, or the whole answer as text.
func (a *httpResponse) statusText(pointer string) (string, error) {
	if pointer == "" {
		text := strings.TrimSpace(string(a.text))
		var quoted string
		if json.Unmarshal(a.text, &quoted) == nil {
			return quoted, nil
		}
		return text, nil
	}
	value, err := jsonpointer.Lookup(a.text, pointer)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	default:
		return "", fmt.Errorf("%s is no word", pointer)
	}
}
