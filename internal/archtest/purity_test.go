package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// why is why the planner and the words are pure.
const why = "a decision follows from the snapshot and the time that it is given alone; so it can be tested for every " +
	"schedule, and any replica comes to the same one"

// pure are the packages without clock, chance and outside world.
func pure() []string {
	return []string{"internal/strategy", "internal/strategy/lifecycle", "internal/strategy/planner", "internal/strategy/command", "internal/rollout", "internal/request", "internal/jsonpointer", "internal/problem", "internal/secret", "internal/authz", "internal/gitops"}
}

// impure are the packages (with all below them) that bring the outside world in.
func impure() []string {
	return []string{
		"bufio", "context", "crypto/rand", "database", "io", "log", "math/rand", "net", "os", "path/filepath", "plugin",
		"runtime", "sync", "syscall", "testing", "unique", "unsafe", "weak",
	}
}

// clock are the functions of package time that read the clock or wait.
func clock() []string {
	return []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
}

func TestPurity_PlannerAndCoreArePure(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		if slices.Contains(pure(), f.pkg) {
			for _, broken := range impurities(f) {
				t.Error(broken)
			}
		}
	}
}

func TestPurity_RuleCatchesEachViolation(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"import \"time\"\nvar _ = time.Now()",
		"import clock \"time\"\nvar _ = clock.Since",
		"import _ \"math/rand/v2\"",
		"import \"context\"",
		"import \"os/exec\"",
		"import \"net/http\"",
		"import \"log\"",
		"import \"log/slog\"\nvar _ = slog.Info",
		"import \"github.com/google/uuid\"",
		"func f() { go f() }",
	} {
		if len(impurities(source(t, "internal/secret", code))) == 0 {
			t.Errorf("not caught: %s", code)
		}
	}
	for _, code := range []string{
		"import \"time\"\nvar _ = time.Second",
		"import \"strings\"\nvar _ = strings.TrimSpace",
		"import \"log/slog\"\nfunc f() slog.Value { return slog.StringValue(``) }",
	} {
		if broken := impurities(source(t, "internal/secret", code)); broken != nil {
			t.Errorf("refused without need: %v", broken)
		}
	}
}

// impurities lists what makes a file impure.
func impurities(f file) []string {
	broken := concurrency(f)
	for _, path := range f.imports() {
		switch {
		case path == "log/slog" && f.pkg == "internal/secret":
			broken = append(broken, logging(f)...)
		case slices.ContainsFunc(impure(), func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }):
			broken = append(broken, fmt.Sprintf("%s imports %s: %s", f.name, path, why))
		case strings.Contains(path, "."):
			broken = append(broken, fmt.Sprintf("%s imports %s, which is not kept pure: %s", f.name, path, why))
		}
	}
	for name, place := range f.uses("time") {
		if slices.Contains(clock(), name) {
			broken = append(broken, fmt.Sprintf("%s: time.%s: %s", place, name, why))
		}
	}
	return broken
}

// logging lists the uses of slog that are more than a value's own form in the log.
func logging(f file) []string {
	var broken []string
	for name, place := range f.uses("log/slog") {
		if !strings.HasSuffix(name, "Value") {
			broken = append(broken, fmt.Sprintf("%s: slog.%s: the words may say how they look in a log, not write one", place, name))
		}
	}
	return broken
}

// concurrency lists the goroutines that a file starts: their order is chance.
func concurrency(f file) []string {
	var broken []string
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if start, ok := n.(*ast.GoStmt); ok {
			broken = append(broken, fmt.Sprintf("%s starts a goroutine: %s", f.at(start), why))
		}
		return true
	})
	return broken
}
