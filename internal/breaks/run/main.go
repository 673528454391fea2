// Command run breaks the product in every way that package breaks lists, one after the other, and demands that the tests
// which each names fail, and that they pass on the product as it is. It runs in the module's root, and its tests need a
// database: go run ./internal/dbtest/serve -- go run ./internal/breaks/run
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"rollcall/internal/breaks"
)

func main() {
	only := flag.String("only", "", "run only the breaks whose name contains this, or one of several parted by commas")
	flag.Parse()
	if err := run(context.Background(), *only); err != nil {
		fmt.Fprintln(os.Stderr, "breaks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	all, err := breaks.All()
	if err != nil {
		return fmt.Errorf("read the breaks: %w", err)
	}
	all = slices.DeleteFunc(all, func(b breaks.Break) bool {
		return !slices.ContainsFunc(strings.Split(only, ","), func(part string) bool { return strings.Contains(b.Name, part) })
	})
	if len(all) == 0 {
		return fmt.Errorf("no break is called %q", only)
	}
	if err := unbroken(ctx, all); err != nil {
		return err
	}
	var survived []string
	for i := range all {
		began := time.Now()
		caught, err := try(ctx, &all[i])
		took := time.Since(began).Round(time.Second)
		if err != nil {
			survived = append(survived, all[i].Name)
			caught = "NOT CAUGHT: " + err.Error()
		}
		fmt.Printf("| %s | %s | %s |\n", all[i].Title, caught, took)
	}
	if len(survived) > 0 {
		return fmt.Errorf("%d of %d breaks were not caught: %s", len(survived), len(all), strings.Join(survived, ", "))
	}
	fmt.Printf("\n%d breaks, all caught\n", len(all))
	return nil
}

// unbroken runs all named tests on the product as it is.
func unbroken(ctx context.Context, all []breaks.Break) error {
	names := map[string][]string{}
	for _, b := range all {
		for _, t := range b.Tests {
			name, _, _ := strings.Cut(t.Name, "/")
			if !slices.Contains(names[t.Package], name) {
				names[t.Package] = append(names[t.Package], name)
			}
		}
	}
	for in, tests := range names {
		said, err := test(ctx, in, "^("+strings.Join(tests, "|")+")$", "")
		if err != nil {
			return fmt.Errorf("the product as it is does not pass %s: %w\n%s", in, err, said)
		}
	}
	return nil
}

// try breaks the product and says which tests failed by it. An error says why the break counts as not caught.
func try(ctx context.Context, b *breaks.Break) (caught string, err error) {
	folder, err := os.MkdirTemp("", "rollcall-break-")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	root, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	overlay, err := b.Overlay(root, folder)
	if err != nil {
		return "", fmt.Errorf("apply it: %w", err)
	}
	var failed []string
	for _, t := range b.Tests {
		said, failure := test(ctx, t.Package, t.Pattern(), overlay)
		name := failing(said)
		switch {
		case failure == nil:
			return "", fmt.Errorf("%s passes", t.Name)
		case name == "":
			return "", fmt.Errorf("%s did not fail as a test does: %s", t.Name, said)
		}
		failed = append(failed, "`"+name+"`")
	}
	return strings.Join(failed, ", "), nil
}

// test runs tests of a package, with an overlay unless that is empty. The tests of package e2e build the server: the
// overlay holds for that too.
func test(ctx context.Context, in, pattern, overlay string) (said string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=5m", "-run="+pattern, in)
	if overlay != "" {
		cmd.Env = append(os.Environ(), strings.TrimSpace("GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err //nolint:wrapcheck // what it said tells more
}

var failure = regexp.MustCompile(`--- FAIL: (\S+)`)

// failing is the innermost of the tests that failed first; empty when none did, but something else was wrong.
func failing(said string) string {
	var longest string
	for _, match := range failure.FindAllStringSubmatch(said, -1) {
		if longest == "" || strings.HasPrefix(match[1], longest+"/") {
			longest = cmp.Or(match[1], longest)
		}
	}
	return longest
}
