package docpage

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTable_EscapesCellEnds(t *testing.T) {
	t.Parallel()
	got := Table([]string{"a", "b"}, [][]string{{"x | y", "two\nlines"}})
	if want := "| a | b |\n|---|---|\n| x \\| y | two lines |\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}

func TestSentence_BeginsAndEndsAsOne(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "", "waves in order": "Waves in order.", "Done.": "Done."} {
		if got := Sentence(given); got != want {
			t.Errorf("%q gives %q, not %q", given, got, want)
		}
	}
}

func TestWrite_OnlyInGenerate(t *testing.T) {
	t.Setenv(WriteVariable, "")
	if err := Write("no-such-page.md", "text"); err != nil {
		t.Error(err)
	}
	if root, err := findRoot(); err != nil {
		t.Error(err)
	} else if _, err := os.Stat(filepath.Join(root, "docs", "no-such-page.md")); err == nil {
		t.Error("a test wrote a page")
	}
}
