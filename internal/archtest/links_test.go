package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// fences matches blocks of code, in which nothing is a link or a heading.
	fences = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	// links matches the destination of a link or an image; external ones have a scheme.
	links = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// headings matches the text of a heading.
	headings = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
)

// Every link of our pages that stays in the repository leads to a file, and to a heading if it names one.
func TestLinks_Resolve(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		for _, broken := range brokenLinks(t, page) {
			t.Error(broken)
		}
	}
}

func TestLinks_BrokenOnesAreFound(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	text := "# A `b` (c)\n[a](page.md#a-b-c) [b](https://x.example) [c](#none) [d](gone.md)\n```\n[e](gone.md)\n```\n"
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if broken := brokenLinks(t, page); len(broken) != 2 {
		t.Errorf("found: %v", broken)
	}
}

// Every page below docs/ can be reached by links from the README.
func TestLinks_ReachEveryPage(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	reached := map[string]bool{}
	for open := []string{filepath.Join(root, "README.md")}; len(open) > 0; open = open[1:] {
		if reached[open[0]] {
			continue
		}
		reached[open[0]] = true
		for _, to := range linksOf(t, open[0]) {
			if path, _, _ := strings.Cut(to, "#"); strings.HasSuffix(path, ".md") && !strings.Contains(path, ":") {
				open = append(open, filepath.Join(filepath.Dir(open[0]), path))
			}
		}
	}
	for _, page := range pages(t) {
		if strings.HasPrefix(page, filepath.Join(root, "docs")) && !reached[page] {
			t.Errorf("no link leads to %s", page)
		}
	}
}

// linksOf lists the destinations of a page's links.
func linksOf(t *testing.T, page string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range links.FindAllStringSubmatch(fences.ReplaceAllString(string(text), ""), -1) {
		list = append(list, found[1])
	}
	return list
}

// pages lists the Markdown files of the repository.
func pages(t *testing.T) (list []string) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".md"):
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func brokenLinks(t *testing.T, page string) (broken []string) {
	t.Helper()
	for _, link := range linksOf(t, page) {
		path, anchor, _ := strings.Cut(link, "#")
		if strings.Contains(path, ":") {
			continue
		}
		to := page
		if path != "" {
			to = filepath.Join(filepath.Dir(page), path)
		}
		if !leadsSomewhere(to, anchor) {
			broken = append(broken, fmt.Sprintf("%s: the link to %s leads nowhere", page, link))
		}
	}
	return broken
}

// leadsSomewhere reports whether there is such a file, and in it a heading with that anchor.
func leadsSomewhere(path, anchor string) bool {
	if anchor == "" {
		_, err := os.Stat(path)
		return err == nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for _, heading := range headings.FindAllStringSubmatch(fences.ReplaceAllString(string(text), ""), -1) {
		if slug(heading[1]) == anchor {
			return true
		}
	}
	return false
}

// slug returns the anchor that Git hosts give a heading.
func slug(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

// What ARCHITECTURE.md names by its path exists.
func TestArchitecture_NamesWhatExists(t *testing.T) {
	t.Parallel()
	for _, found := range regexp.MustCompile("`((?:cmd|internal|examples)/[\\w./]+)`").FindAllStringSubmatch(string(atRoot(t, "ARCHITECTURE.md")), -1) {
		if _, err := os.Stat(filepath.Join("..", "..", found[1])); err != nil {
			t.Errorf("there is no %s", found[1])
		}
	}
}
