package strategy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/problem"
)

const (
	maxCount     = 10_000
	maxListItems = 100
)

// params reads the parameters of one strategy and remembers what is wrong with them. Each read takes its field away,
// so that what is left in the end is unknown.
type params struct {
	base     string // the pointer of the object that is read
	fields   map[string]json.RawMessage
	refused  []string
	problems []problem.FieldError
}

func newParams(object json.RawMessage) *params {
	p := &params{base: "/strategy", fields: map[string]json.RawMessage{}}
	if len(object) == 0 {
		return p
	}
	if err := json.Unmarshal(object, &p.fields); err != nil || p.fields == nil {
		p.fields = map[string]json.RawMessage{}
		p.addProblem("", "must be an object")
	}
	return p
}

func (p *params) addProblem(name, format string, args ...any) {
	pointer := p.base
	if name != "" {
		pointer += "/" + name
	}
	p.problems = append(p.problems, problem.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (p *params) accepts(name string) bool { return !slices.Contains(p.refused, name) }

func (p *params) takeField(name string) (json.RawMessage, bool) {
	raw, ok := p.fields[name]
	delete(p.fields, name)
	return raw, ok
}

// rejectUnknown reports every field that nothing has read.
func (p *params) rejectUnknown(kind string) {
	for _, name := range slices.Sorted(maps.Keys(p.fields)) {
		p.addProblem(problem.EscapePointer(name), "is not a parameter of %s", kind)
	}
}

func (p *params) readString(name, fallback string) string {
	raw, ok := p.takeField(name)
	if !ok {
		return fallback
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		p.addProblem(name, "must be a string")
		return fallback
	}
	return *text
}

func (p *params) readChoice(name, fallback string, choices ...string) string {
	text := p.readString(name, fallback)
	if !slices.Contains(choices, text) {
		p.addProblem(name, "must be one of %s", strings.Join(choices, ", "))
		return fallback
	}
	return text
}

func (p *params) readDuration(name string, fallback, least time.Duration) duration.Duration {
	text := p.readString(name, fallback.String())
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		p.addProblem(name, "%q is not a duration such as \"30s\" or \"1m30s\"", text)
	case d < least:
		p.addProblem(name, "must be at least %s", least)
	case d > maxDuration:
		p.addProblem(name, "must be at most %s", maxDuration)
	default:
		return duration.Duration(d)
	}
	return duration.Duration(fallback)
}

// readInteger reads a whole number; 0 when it is missing, which is a problem too.
func (p *params) readInteger(name string) int {
	raw, ok := p.takeField(name)
	var n *int
	if !ok || json.Unmarshal(raw, &n) != nil || n == nil {
		p.addProblem(name, "must be a whole number")
		return 0
	}
	return *n
}

// readCount reads a number of targets; 0 when it is left out.
func (p *params) readCount(name string) int {
	if _, ok := p.fields[name]; !ok {
		return 0
	}
	n := p.readInteger(name)
	if n < 0 || n > maxCount {
		p.addProblem(name, "must be from 0 to %d", maxCount)
	}
	return n
}

// readFraction reads a number above 0 and at most 1.
func (p *params) readFraction(name string, fallback float64) float64 {
	raw, ok := p.takeField(name)
	if !ok {
		return fallback
	}
	var f *float64
	if json.Unmarshal(raw, &f) != nil || f == nil || *f <= 0 || *f > 1 {
		p.addProblem(name, "must be a number above 0 and at most 1")
		return fallback
	}
	return *f
}

// readCountOrPercent reads a number of targets, or a percentage of n rounded down; it may be 0.
func (p *params) readCountOrPercent(name string, n int) int {
	raw, ok := p.takeField(name)
	if !ok {
		return 0
	}
	count, _, problem := parseAmount(raw, n, 0)
	if problem != "" {
		p.addProblem(name, "%s", problem)
	}
	return count
}

// readSizes reads one size or a growing list of them, each a number or a percentage of n rounded down, at least 1.
func (p *params) readSizes(name string, n int) []int {
	raw, ok := p.takeField(name)
	if !ok {
		return []int{1}
	}
	items := []json.RawMessage{raw}
	pointer := func(int) string { return name }
	if len(raw) > 0 && raw[0] == '[' {
		if err := json.Unmarshal(raw, &items); err != nil || len(items) == 0 || len(items) > maxListItems {
			p.addProblem(name, "must have 1 to %d sizes", maxListItems)
			return nil
		}
		pointer = func(i int) string { return name + "/" + strconv.Itoa(i) }
	}
	var sizes []int
	for i, item := range items {
		size, problem := nextSize(item, n, sizes)
		if problem != "" {
			p.addProblem(pointer(i), "%s", problem)
		}
		sizes = append(sizes, size)
	}
	return sizes
}

// nextSize reads one size of a growing list. A percentage of few targets may round to less than the number before it,
// and is then that number.
func nextSize(item json.RawMessage, n int, before []int) (size int, problem string) {
	size, percentage, problem := parseAmount(item, n, 1)
	if len(before) == 0 || problem != "" || size >= before[len(before)-1] {
		return size, problem
	}
	if !percentage {
		problem = "must not be smaller than the size before it"
	}
	return before[len(before)-1], problem
}

// parseAmount reads a whole number, or a percentage ("25%") of n rounded down; a percentage that rounds to less than least
// is least.
func parseAmount(raw json.RawMessage, n, least int) (count int, percentage bool, problem string) {
	wrong := fmt.Sprintf("must be a whole number from %d to %d, or a percentage such as \"25%%\"", least, maxCount)
	if err := json.Unmarshal(raw, &count); err == nil && string(raw) != "null" {
		if count < least || count > maxCount {
			return least, false, wrong
		}
		return count, false, ""
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return least, false, wrong
	}
	digits, isShare := strings.CutSuffix(text, "%")
	percent, err := strconv.Atoi(digits)
	if !isShare || err != nil || percent < least || percent > 100 || strconv.Itoa(percent) != digits {
		return least, false, wrong
	}
	return max(least, n*percent/100), true, ""
}
