package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the module's path; a package of ours is named by what follows it, the root package by "".
const module = "rollcall"

// file is one Go file that is no test.
type file struct {
	pkg  string
	name string
	set  *token.FileSet
	ast  *ast.File
}

// tree parses the whole module but its tests.
func tree(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	set := token.NewFileSet()
	var files []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && (d.Name() == "tools" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := strings.TrimPrefix(filepath.ToSlash(rel), ".")
		files = append(files, file{pkg: pkg, name: path, set: set, ast: parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// source is a file of a package that exists only in a test.
func source(t *testing.T, pkg, code string) file {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, "example.go", "package p\n"+code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file{pkg: pkg, name: "example.go", set: set, ast: parsed}
}

// imports maps the local name of each import to its path.
func (f file) imports() map[string]string {
	found := map[string]string{}
	for _, spec := range f.ast.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser took it
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil && (spec.Name.Name == "_" || spec.Name.Name == ".") {
			name = spec.Name.Name + path // more than one may have it
		} else if spec.Name != nil {
			name = spec.Name.Name
		}
		found[name] = path
	}
	return found
}

// ours gives the imported packages of this module, without its path.
func (f file) ours() []string {
	var found []string
	for _, path := range f.imports() {
		if path == module || strings.HasPrefix(path, module+"/") {
			found = append(found, strings.TrimPrefix(strings.TrimPrefix(path, module), "/"))
		}
	}
	slices.Sort(found)
	return found
}

// at is where a node stands, for a message.
func (f file) at(n ast.Node) string { return f.set.Position(n.Pos()).String() }

// uses lists the selectors of an imported package that the file uses, such as Now of time, with their places.
func (f file) uses(path string) map[string]string {
	found := map[string]string{}
	names := f.imports()
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && names[pkg.Name] == path {
			found[sel.Sel.Name] = f.at(sel)
		}
		return true
	})
	return found
}
