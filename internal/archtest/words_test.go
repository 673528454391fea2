package archtest

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// bannedWords are the words that docs/reference/glossary.md replaces, and a few that only a reader of this code would
// understand. They occur in no name, comment, message or page.
func bannedWords() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
		`sick`, `ill`, `told`, `whoever`, `whomever`, `nobody`, `somebody`, `anew`, `mend(s|ed|ing)?`, `newborn`, `patience`,
		`lend(s|ing)?`, `crowd`, `excuse[sd]?`, `go(es)? on`, `puts? back`, `put(s|ting)? (it|them) back`, `turn(s|ed|ing)? round`,
		`for ever`, `fell sick`, `falls sick`, `well again`, `sees? to it`, `broken off`, `knows better`, `tells?`, `verbs?`, `lasting`, `pairs?`,
	}, "|") + `)\b`)
}

// bannedNames are banned as the beginning of an identifier: the greatest and the smallest number are max and min.
func bannedNames() *regexp.Regexp { return regexp.MustCompile(`^(most|least)[A-Z]`) }

// allowedTexts must stay: they are stored, on the wire, or names that others have given.
func allowedTexts() []string {
	return []string{
		"target.sick", "--patience", `name:"patience"`, "ROLLCALL_PATIENCE", "least_capacity", "LeastCapacity",
		`"nobody"`, `\"nobody\"`, "USER nobody", "{verb}", `"verb"`, "a verb with an object", "a verb and an object", "X509KeyPair", "HAProxyPair",
		"(lasting OR", ", lasting,", "lasting = excluded.lasting", "k.lasting", "NOT lasting",
	}
}

// glossaryOfBannedWords is the file whose last table names them.
const glossaryOfBannedWords = "docs/reference/glossary.md"

func TestWords_BannedOnesDoNotOccur(t *testing.T) {
	t.Parallel()
	for path, text := range prose(t) {
		if path == glossaryOfBannedWords {
			text, _, _ = strings.Cut(text, "## Words that are not used")
		}
		for _, f := range bannedIn(path, text) {
			t.Errorf("%s: %s: use a word of %s", path, f, glossaryOfBannedWords)
		}
	}
}

func TestWords_GlossaryNamesThem(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(prose(t)[glossaryOfBannedWords], "## Words that are not used")
	for _, word := range []string{"sick", "ill", "told", "whoever", "nobody", "somebody", "anew", "turn round", "put back", "go on", "mended", "most", "least", "verb", "tell", "pair", "lasting"} {
		if !strings.Contains(table, word) {
			t.Errorf("%s does not name %q", glossaryOfBannedWords, word)
		}
	}
}

func TestWords_BannedOnesAreFound(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{
		"// It is ill.\nvar x int": 1, "// A pill is fine.\nvar x int": 0, "var sickTarget int": 1, "var mostErrors int": 1,
		"var almostAll, leastly int": 0, `var s = "the target was told"`: 1, `var s = "target.sick"`: 0,
		"// The deployment goes\n// on.\nvar x int": 1, "func Whoever() {}": 1,
	} {
		if got := bannedIn("x.go", "package p\n"+code); len(got) != want {
			t.Errorf("%q: %v", code, got)
		}
	}
	if got := bannedIn("x.md", "Traffic is put back."); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// A test is named TestSubject_RuleInFewWords, so that -run selects a topic.
func TestWords_TestNamesBeginWithTheirSubject(t *testing.T) {
	t.Parallel()
	for path, text := range prose(t) {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, name := range misnamedIn(text) {
			t.Errorf("%s: %s: name it TestSubject_RuleInFewWords", path, name)
		}
	}
}

func TestWords_MisnamedTestsAreFound(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"TestStore_KeepsEvents": 0, "TestMain": 0, "FuzzTree": 0, "BenchmarkSave_Wave": 0, "TestAnswer_IsRead": 0, "TestIteration_Ends": 0,
		"TestStore": 1, "TestTheStore_KeepsEvents": 1, "TestA_B": 1, "FuzzAYAMLFile": 1, "BenchmarkWhatRuns": 1,
		"TestStore_" + strings.Repeat("Long", 20): 1,
	} {
		if got := misnamedIn("package p\n\nfunc " + name + "(t *testing.T) {}\n"); len(got) != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// misnamedIn lists the tests of a file whose names have no subject, begin with an article or a pronoun, or are too long.
func misnamedIn(text string) (found []string) {
	const maxName = 54
	name := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	article := regexp.MustCompile(`^(Test|Benchmark|Fuzz)_?(A|An|The|It|Its|What|Who|Whoever|Whose|Which|That|This|These|Those|There|` +
		`Every|Each|All|Any|Anyone|No|Nobody|None|Nothing|One|Only|Some|Somebody|They|He|She|We|You|I)([A-Z0-9_]|$)`)
	for _, m := range name.FindAllStringSubmatch(text, -1) {
		subject := !strings.HasPrefix(m[1], "Test") || strings.Contains(m[1], "_") || m[1] == "TestMain"
		if !subject || article.MatchString(m[1]) || len(m[1]) > maxName {
			found = append(found, m[1])
		}
	}
	return found
}

// bannedIn lists the banned words of a file: of a Go file those in comments, strings and identifiers, else all.
func bannedIn(path, text string) (found []string) {
	banned, names, hump := bannedWords(), bannedNames(), regexp.MustCompile(`([a-z0-9])([A-Z])`)
	if !strings.HasSuffix(path, ".go") {
		return banned.FindAllString(withoutAllowed(text), -1)
	}
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile(path, -1, len(text)), []byte(text), nil, scanner.ScanComments)
	comment := "" // of several lines
	for {
		_, tok, literal := s.Scan()
		if tok == token.COMMENT {
			comment += strings.TrimPrefix(literal, "//")
			continue
		}
		found = append(found, banned.FindAllString(oneLine(withoutAllowed(comment)), -1)...)
		comment = ""
		switch tok {
		case token.EOF:
			return found
		case token.STRING:
			found = append(found, banned.FindAllString(oneLine(withoutAllowed(literal)), -1)...)
		case token.IDENT:
			found = append(found, banned.FindAllString(spaced(hump, withoutAllowed(literal)), -1)...)
			found = append(found, names.FindAllString(literal, -1)...)
		default:
		}
	}
}

func withoutAllowed(text string) string {
	for _, allowed := range allowedTexts() {
		text = strings.ReplaceAll(text, allowed, "")
	}
	return text
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// spaced puts spaces between the words of an identifier.
func spaced(hump *regexp.Regexp, name string) string {
	return strings.ReplaceAll(hump.ReplaceAllString(name, "$1 $2"), "_", " ")
}

// prose reads what people read: Go files, tests too, pages, templates and the contract, by their path below the root. This
// file is left out.
func prose(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && (d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "gen" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || !slices.Contains([]string{".go", ".md", ".html"}, filepath.Ext(path)) && rel != "openapi.yaml" ||
			d.Name() == "words_test.go" {
			return err
		}
		text, err := os.ReadFile(path)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
