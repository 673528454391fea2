// Package docpage writes the generated pages under docs/. Each page is made by a test of the package that it describes,
// which can see what is not exported: `go generate` has the test write the page, `go test` only has it made, and
// scripts/generated checks that what is committed is current.
package docpage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WriteVariable is the environment variable with which go generate has pages written.
const WriteVariable = "ROLLCALL_WRITE_DOCS"

const notice = "<!-- Generated from the code by `make generate`: do not edit. -->\n\n"

// Write writes the page at path, below docs/, in go generate. Otherwise it does nothing.
func Write(path, text string) error {
	if os.Getenv(WriteVariable) == "" {
		return nil
	}
	root, err := findRoot()
	if err != nil {
		return err
	}
	file := filepath.Join(root, "docs", filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // pages are for everyone to read
		return fmt.Errorf("make the folder of a page: %w", err)
	}
	if err := os.WriteFile(file, []byte(notice+text), 0o644); err != nil { //nolint:gosec // as above
		return fmt.Errorf("write a page: %w", err)
	}
	return nil
}

// Table formats a Markdown table. Cells may hold Markdown; what would end a cell is escaped.
func Table(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		for _, cell := range cells {
			b.WriteString("| " + strings.ReplaceAll(strings.Join(strings.Fields(cell), " "), "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	line(header)
	b.WriteString(strings.Repeat("|---", len(header)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// Code formats text as inline code; nothing stays nothing.
func Code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// Sentence returns text with a capital letter at its start and a full stop at its end.
func Sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if strings.ContainsRune(".?!", rune(text[len(text)-1])) {
		return text
	}
	return text + "."
}

// findRoot returns the folder of go.mod, above the package whose test runs.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			err = errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
	return "", fmt.Errorf("find the repository: %w", err)
}
