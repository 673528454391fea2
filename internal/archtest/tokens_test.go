package archtest

import (
	"go/ast"
	"go/types"
	"testing"
)

// The type forbids ==, so there are two ways left to compare hashes of tokens: its own, and their bytes. The first takes
// constant time, and only the store, which compares nothing, sees the bytes.
func TestTokens_HashesCompareInConstantTime(t *testing.T) {
	t.Parallel()
	var compared, uncomparable bool
	for _, f := range tree(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				uncomparable = uncomparable || f.pkg == "internal/authz" && n.Name.Name == "TokenHash" && holdsFuncs(n)
			case *ast.FuncDecl:
				if f.pkg == "internal/authz" && n.Name.Name == "Equal" && ofType(n, "TokenHash") {
					compared = types.ExprString(onlyResult(n)) == "subtle.ConstantTimeCompare(h.sum[:], other.sum[:]) == 1"
				}
			case *ast.SelectorExpr:
				if n.Sel.Name == "Stored" && f.pkg != "internal/store/tokenstore" {
					t.Errorf("%s: only the store needs the bytes of a hash; use Equal", f.at(n))
				}
			}
			return true
		})
		if f.pkg == "internal/auth" || f.pkg == "internal/store/tokenstore" {
			for _, pkg := range []string{"bytes", "reflect", "slices"} {
				for _, name := range []string{"Equal", "Compare", "DeepEqual"} {
					if at, used := f.uses(pkg)[name]; used {
						t.Errorf("%s: %s.%s takes a time that depends on the hash", at, pkg, name)
					}
				}
			}
		}
	}
	if !compared || !uncomparable {
		t.Errorf("TokenHash can be compared with == (%t), or its Equal is not subtle.ConstantTimeCompare alone (%t)", !uncomparable, !compared)
	}
}

// holdsFuncs reports whether a struct has a field of an array of functions, which makes it incomparable and costs nothing.
func holdsFuncs(spec *ast.TypeSpec) bool {
	s, ok := spec.Type.(*ast.StructType)
	return ok && types.ExprString(s.Fields.List[0].Type) == "[0]func()"
}

func ofType(f *ast.FuncDecl, name string) bool {
	return f.Recv != nil && len(f.Recv.List) == 1 && types.ExprString(f.Recv.List[0].Type) == name
}

// onlyResult is what a function of one line returns.
func onlyResult(f *ast.FuncDecl) ast.Expr {
	if len(f.Body.List) == 1 {
		if r, ok := f.Body.List[0].(*ast.ReturnStmt); ok && len(r.Results) == 1 {
			return r.Results[0]
		}
	}
	return ast.NewIdent("more")
}
