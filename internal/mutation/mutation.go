// Package mutation holds mutants: small edits to the source that make the product wrong, each with the tests that must fail.
// A guarantee whose violation no test detects is not a guarantee: `make breaks` makes each edit in turn and demands that its
// tests fail. The changes are laid over the source with the go command's -overlay; nothing in the tree is touched.
//
// A mutant is a file in list: a title, a blank line, what it would do, and then any number of
//
//	file internal/store/save.go
//	-	what stands there
//	+	what stands there instead
//	test ./internal/store TestName/Rule
//
// The lines after file are as in a diff: those with a minus or a space must stand there together, once. Every test that is
// named must fail.
package mutation

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed list
var list embed.FS

// Mutant is one way in which the product could be wrong.
type Mutant struct {
	// Name is that of its file; Title says in a line what is wrong, Harm what that would do.
	Name, Title, Harm string
	Edits             []Edit
	Tests             []Test
}

// Edit replaces Old, which stands once in the file, by New.
type Edit struct{ File, Old, New string }

// Test names a test, or a part of one, of a package.
type Test struct{ Package, Name string }

// RunPattern selects the test for go test -run.
func (t Test) RunPattern() string {
	return "^" + strings.ReplaceAll(t.Name, "/", "$/^") + "$"
}

// ReadAll reads every mutant, in the order of their names.
func ReadAll() ([]Mutant, error) {
	entries, err := list.ReadDir("list")
	if err != nil {
		return nil, fmt.Errorf("list the mutants: %w", err)
	}
	var all []Mutant
	for _, entry := range entries {
		text, err := list.ReadFile("list/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read a mutant: %w", err)
		}
		b, err := parseMutant(string(text))
		if err != nil {
			return nil, fmt.Errorf("mutant %s: %w", entry.Name(), err)
		}
		b.Name = strings.TrimSuffix(entry.Name(), ".txt")
		all = append(all, b)
	}
	return all, nil
}

func parseMutant(text string) (Mutant, error) {
	title, rest, _ := strings.Cut(text, "\n")
	b := Mutant{Title: title}
	for line := range strings.Lines(rest) {
		if err := b.addLine(line); err != nil {
			return b, err
		}
	}
	b.Harm = strings.TrimSpace(b.Harm)
	if b.Title == "" || b.Harm == "" || len(b.Edits) == 0 || len(b.Tests) == 0 {
		return b, fmt.Errorf("it lacks a title, what it would do, an edit or a test")
	}
	return b, nil
}

func (b *Mutant) addLine(line string) error {
	word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	switch {
	case word == "file":
		b.Edits = append(b.Edits, Edit{File: rest})
	case word == "test":
		where, name, _ := strings.Cut(rest, " ")
		b.Tests = append(b.Tests, Test{where, name})
	case len(b.Edits) == 0:
		b.Harm += line
	case strings.TrimSpace(line) == "":
	default:
		return b.Edits[len(b.Edits)-1].addLine(line)
	}
	return nil
}

func (e *Edit) addLine(line string) error {
	switch line[0] {
	case '-':
		e.Old += line[1:]
	case '+':
		e.New += line[1:]
	case ' ':
		e.Old += line[1:]
		e.New += line[1:]
	default:
		return fmt.Errorf("line %q is neither of a diff nor names a file or a test", line)
	}
	return nil
}

// WriteOverlay writes the changed files into a folder, and beside them the file for the go command's -overlay, whose path it
// gives. An edit that does not apply is an error: the source has changed, and the mutant must follow.
func (b *Mutant) WriteOverlay(root, folder string) (string, error) {
	changed := map[string]string{}
	for _, e := range b.Edits {
		path := filepath.Join(root, e.File)
		text, ok := changed[path]
		if !ok {
			source, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("read the source: %w", err)
			}
			text = string(source)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return "", fmt.Errorf("mutant %s: what it replaces stands %d times in %s, not once:\n%s", b.Name, n, e.File, e.Old)
		}
		changed[path] = strings.Replace(text, e.Old, e.New, 1)
	}
	return writeOverlay(changed, folder)
}

func writeOverlay(changed map[string]string, folder string) (string, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range changed {
		copied := filepath.Join(folder, fmt.Sprintf("%d-%s", len(overlay.Replace), filepath.Base(path)))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write a changed file: %w", err)
		}
		overlay.Replace[path] = copied
	}
	described, err := json.Marshal(overlay)
	if err != nil {
		return "", fmt.Errorf("describe the overlay: %w", err)
	}
	path := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(path, described, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return path, nil
}
