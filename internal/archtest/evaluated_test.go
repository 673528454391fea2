package archtest

import (
	"go/ast"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// programs are the files that start other programs, each a fixed one or one that the operator named.
func programs() []string {
	return []string{
		"examples/receiver/receiver.go", "internal/gitops/mirror/git.go", "internal/health/command.go",
		"internal/localpg/account.go", "internal/localpg/initdb.go", "internal/localpg/process.go", "internal/localpg/programs.go",
	}
}

// Nothing that a request says is a program, a template or an expression.
func TestEvaluation_RequestTextIsNeverRun(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		if slices.ContainsFunc([]string{"internal/mutation", "internal/dbtest", "internal/e2e", "internal/slowtest", "internal/gitops/gittest"}, func(p string) bool { return strings.HasPrefix(f.pkg, p) }) {
			continue
		}
		for _, path := range f.imports() {
			switch {
			case path == "os/exec" && !slices.Contains(programs(), f.pkg+"/"+filepath.Base(f.name)):
				t.Errorf("%s starts programs", f.name)
			case path == "text/template", path == "plugin", path == "html/template" && f.pkg != "internal/web":
				t.Errorf("%s imports %s", f.name, path)
			}
		}
		if started := f.uses("os/exec"); started["Command"]+started["CommandContext"] == "" || f.pkg == "internal/localpg" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && slices.Contains([]string{`"sh"`, `"bash"`, `"/bin/sh"`, `"-c"`}, text.Value) {
				t.Errorf("%s: a shell", f.at(n))
			}
			return true
		})
	}
	if found := regexp.MustCompile(`(?m)^\t(\S*(cel-go|expr-lang|govaluate|goja|otto|starlark|gopher-lua|yaegi|tengo|jsonnet)\S*) .*$`).
		FindAllStringSubmatch(string(atRoot(t, "go.mod")), -1); found != nil {
		t.Errorf("the module has an expression language: %v", found)
	}
}

// There is no switch that turns the check of the other side off.
func TestTLS_PeerIsAlwaysVerified(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if name, ok := n.Key.(*ast.Ident); ok && name.Name == "InsecureSkipVerify" {
					t.Errorf("%s sets InsecureSkipVerify", f.at(n))
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					sel, ok := to.(*ast.SelectorExpr)
					if !ok || sel.Sel.Name != "InsecureSkipVerify" {
						continue
					}
					if value, ok := n.Rhs[min(i, len(n.Rhs)-1)].(*ast.Ident); !ok || value.Name != "false" {
						t.Errorf("%s sets InsecureSkipVerify", f.at(n))
					}
				}
			}
			return true
		})
	}
}
