package mutation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/docpage"
)

//go:generate env ROLLCALL_WRITE_DOCS=1 go test -count=1 -run=^TestReference_ .

func TestReference_Mutations(t *testing.T) {
	t.Parallel()
	all, err := ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b Mutant) int { return strings.Compare(a.Title, b.Title) })
	var rows [][]string
	for _, m := range all {
		var tests []string
		for _, test := range m.Tests {
			tests = append(tests, docpage.Code(strings.TrimPrefix(test.Package, "./")+" "+test.Name))
		}
		rows = append(rows, []string{m.Title, docpage.Code(m.Name), strings.Join(tests, "<br>")})
	}
	text := fmt.Sprintf(`# Mutants

%d ways in which the product could be wrong. Each is a small edit to its source, and each must make the tests in its row
fail; `+"`make breaks`"+` checks that. [How we test](how-we-test.md#mutation-tests) explains the method; the edits are in
[internal/mutation/list](../../internal/mutation/list).

`, len(all)) + docpage.Table([]string{"what is wrong", "name", "tests that must fail"}, rows)
	if err := docpage.Write("testing/mutations.md", text); err != nil {
		t.Error(err)
	}
}
