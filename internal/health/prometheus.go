package health

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"rollcall/internal/healthcheck"
)

// maxLine is the longest line of Prometheus text that is read.
const maxLine = 64 << 10

const (
	// plainText is the text format that all exporters speak. One that knows names beyond the plain characters rewrites them
	// in it, to underscores unless it is set up otherwise.
	plainText = "text/plain; version=0.0.4"
	// quotedText has such names as they are.
	quotedText = "text/plain; version=1.0.0; escaping=allow-utf-8, text/plain; version=0.0.4; q=0.5"
)

// sample is one number, and what it is the number of.
type sample struct {
	of    string
	value float64
}

// pageFormat returns the text format in which a page has the name that selector means.
func pageFormat(selector string) string {
	if want, err := healthcheck.ParseSelector(selector); err == nil && want.NeedsQuotes() {
		return quotedText
	}
	return plainText
}

// promNumbers reads the Prometheus text format and gives the values of all series that selector means: those of its
// name that carry at least its labels. It fails when there are none, and never leaves one out.
func promNumbers(r io.Reader, selector string) ([]sample, error) {
	want, err := healthcheck.ParseSelector(selector)
	if err != nil {
		return nil, fmt.Errorf("the metric %w", err)
	}
	var numbers []sample
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := bytes.TrimLeft(lines.Bytes(), " \t")
		if !bytes.HasPrefix(line, []byte(want.Name)) && !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		v, meant, err := valueOf(want, string(line))
		if err != nil {
			return nil, err
		}
		if meant {
			numbers = append(numbers, sample{selector, v})
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

// valueOf returns the number on a line, and whether the line is one of the series that want means.
func valueOf(want healthcheck.Series, line string) (v float64, meant bool, err error) {
	has, rest, err := healthcheck.ParseSeries(line)
	if has.Name != want.Name {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("a line of %s cannot be read", want.Name)
	}
	for label, value := range want.Labels {
		if has.Labels[label] != value {
			return 0, false, nil
		}
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, false, fmt.Errorf("a line of %s has no number", want.Name)
	}
	if v, err = parseNumber(fields[0]); err != nil {
		return 0, false, fmt.Errorf("a line of %s has no number", want.Name)
	}
	return v, true, nil
}

// parseNumber reads a number as Prometheus writes it, NaN and +Inf included.
func parseNumber(text string) (float64, error) {
	if strings.ContainsAny(text, "pPxX_") { // Go's numbers, but not Prometheus's
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64) //nolint:wrapcheck // the caller says which number it is
}
