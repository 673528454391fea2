package mutation

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/slowtest"
)

func root(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A mutant that no longer applies, or does not compile, proves nothing.
func TestMutants_Apply(t *testing.T) {
	t.Parallel()
	all, err := ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Errorf("only %d mutants", len(all))
	}
	for _, m := range all {
		if _, err := m.WriteOverlay(root(t), t.TempDir()); err != nil {
			t.Error(err)
		}
		for _, test := range m.Tests {
			if !declared(t, test) {
				t.Errorf("mutant %s: there is no test %s in %s", m.Name, test.Name, test.Package)
			}
		}
	}
}

// declared reports whether a file of the package declares the test.
func declared(t *testing.T, test Test) bool {
	t.Helper()
	name, _, _ := strings.Cut(test.Name, "/")
	files, err := filepath.Glob(filepath.Join(root(t), test.Package, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "\nfunc "+name+"(")
	})
}

func TestMutants_Compile(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	all, err := ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			overlay, err := m.WriteOverlay(root(t), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"build", "-overlay=" + overlay}
			for _, e := range m.Edits {
				if in := "./" + filepath.Dir(e.File); !slices.Contains(args, in) {
					args = append(args, in)
				}
			}
			build := exec.CommandContext(t.Context(), "go", args...)
			build.Dir = root(t)
			if said, err := build.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
}

func TestParse_ReadsMutant(t *testing.T) {
	t.Parallel()
	b, err := parseMutant("Nothing is stored\n\nAll is lost.\n\nfile a/b.go\n \tx := 1\n-\tstore(x)\n+\t_ = x\n\ntest ./a TestA/B\n")
	if err != nil {
		t.Fatal(err)
	}
	want := Edit{File: "a/b.go", Old: "\tx := 1\n\tstore(x)\n", New: "\tx := 1\n\t_ = x\n"}
	if b.Title != "Nothing is stored" || b.Harm != "All is lost." || !slices.Equal(b.Edits, []Edit{want}) {
		t.Errorf("read as %+v", b)
	}
	if len(b.Tests) != 1 || b.Tests[0].Package != "./a" || b.Tests[0].RunPattern() != "^TestA$/^B$" {
		t.Errorf("tests: %+v", b.Tests)
	}
	for _, wrong := range []string{"", "Title\n\nHarm.\n", "Title\n\nHarm.\nfile a\nnonsense\ntest ./a TestA\n"} {
		if _, err := parseMutant(wrong); err == nil {
			t.Errorf("taken: %q", wrong)
		}
	}
}

func TestOverlay_RefusesMismatch(t *testing.T) {
	t.Parallel()
	b := Mutant{Edits: []Edit{{File: "internal/mutation/mutation.go", Old: "no such text", New: "x"}}}
	if _, err := b.WriteOverlay(root(t), t.TempDir()); err == nil {
		t.Error("an edit of what does not stand there was made")
	}
}
