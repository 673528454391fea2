package archtest

import (
	"go/ast"
	"testing"
)

// A server without an ErrorLog complains in plain text, beside the log that people collect.
func TestListeners_HaveAnErrorLog(t *testing.T) {
	t.Parallel()
	servers := 0
	for _, f := range tree(t) {
		if f.pkg == "internal/testtarget" || f.pkg == "internal/dbtest" {
			continue // they serve tests and the demo
		}
		for _, s := range serversWithoutErrorLog(f) {
			t.Errorf("%s: this http.Server has no ErrorLog", s)
		}
		servers += len(f.uses("net/http")["Server"])
	}
	if servers == 0 {
		t.Error("no http.Server was found at all")
	}
}

func TestListeners_RuleCatchesMissingErrorLog(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{
		`var s = http.Server{}`: 1, `var s = &http.Server{Handler: nil}`: 1, `var s http.Server`: 1, `var s = new(http.Server)`: 1,
		`func f() { _ = http.ListenAndServe("", nil) }`: 1, `func f() { _ = http.Serve(nil, nil) }`: 1,
		`var s = &http.Server{ErrorLog: nil}`: 0, `var s *http.Server`: 0, `func f(s *http.Server) []*http.Server { return nil }`: 0,
	} {
		if got := serversWithoutErrorLog(source(t, "internal/x", "import \"net/http\"\n"+code)); len(got) != want {
			t.Errorf("%s: %v", code, got)
		}
	}
}

// serversWithoutErrorLog lists where the file makes an http.Server without an ErrorLog, or has net/http make one.
func serversWithoutErrorLog(f file) (found []string) {
	names := f.imports()
	is := func(e ast.Expr, name string) bool {
		sel, ok := e.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := sel.X.(*ast.Ident)
		return ok && names[pkg.Name] == "net/http" && sel.Sel.Name == name
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		bare := false
		switch n := n.(type) {
		case *ast.CompositeLit:
			bare = is(n.Type, "Server") && !sets(n, "ErrorLog")
		case *ast.ValueSpec:
			bare = n.Type != nil && is(n.Type, "Server")
		case *ast.CallExpr:
			made, ok := n.Fun.(*ast.Ident)
			bare = ok && made.Name == "new" && len(n.Args) == 1 && is(n.Args[0], "Server")
			for _, name := range []string{"ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"} {
				bare = bare || is(n.Fun, name)
			}
		}
		if bare {
			found = append(found, f.at(n))
		}
		return true
	})
	return found
}

// sets reports whether a literal names the field.
func sets(literal *ast.CompositeLit, field string) bool {
	for _, element := range literal.Elts {
		entry, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if name, ok := entry.Key.(*ast.Ident); ok && name.Name == field {
			return true
		}
	}
	return false
}
