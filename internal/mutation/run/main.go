// Command run applies every mutant of package mutation, one after the other, and demands that the tests
// which each names fail, and that they pass on the product as it is. It runs in the module's root, and its tests need a
// database: go run ./internal/dbtest/serve -- go run ./internal/mutation/run
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

	"rollcall/internal/mutation"
)

func main() {
	only := flag.String("only", "", "run only the mutants whose name contains this, or one of several parted by commas")
	chaos := flag.Bool("chaos", false, "instead of the tests that they name, let make chaos find each of them within CHAOS_TIME")
	flag.Parse()
	if err := run(context.Background(), *only, *chaos); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// finder applies a mutant and returns what killed it. An error says why the mutant survived.
type finder func(ctx context.Context, b *mutation.Mutant) (killed string, err error)

func run(ctx context.Context, only string, chaos bool) error {
	all, err := selectMutants(only)
	if err != nil {
		return err
	}
	if chaos {
		return applyEach(ctx, all, runChaos)
	}
	if err := checkUnchanged(ctx, all); err != nil {
		return err
	}
	return applyEach(ctx, all, runNamedTests)
}

func selectMutants(only string) ([]mutation.Mutant, error) {
	all, err := mutation.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read the mutants: %w", err)
	}
	all = slices.DeleteFunc(all, func(b mutation.Mutant) bool {
		return !slices.ContainsFunc(strings.Split(only, ","), func(part string) bool { return strings.Contains(b.Name, part) })
	})
	if len(all) == 0 {
		return nil, fmt.Errorf("no mutant is called %q", only)
	}
	return all, nil
}

// applyEach applies one mutant after the other, and demands that each is killed.
func applyEach(ctx context.Context, all []mutation.Mutant, find finder) error {
	var survived []string
	for i := range all {
		began := time.Now()
		killed, err := find(ctx, &all[i])
		took := time.Since(began).Round(time.Second)
		if err != nil {
			survived = append(survived, all[i].Name)
			killed = "SURVIVED: " + err.Error()
		}
		fmt.Printf("| %s | %s | %s |\n", all[i].Title, killed, took)
	}
	if len(survived) > 0 {
		return fmt.Errorf("%d of %d mutants survived: %s", len(survived), len(all), strings.Join(survived, ", "))
	}
	fmt.Printf("\n%d mutants, all killed\n", len(all))
	return nil
}

// checkUnchanged runs all named tests on the product as it is.
func checkUnchanged(ctx context.Context, all []mutation.Mutant) error {
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
		said, err := runTests(ctx, in, "^("+strings.Join(tests, "|")+")$", "")
		if err != nil {
			return fmt.Errorf("the product as it is does not pass %s: %w\n%s", in, err, said)
		}
	}
	return nil
}

// runNamedTests runs the tests that the mutant names on the changed source.
func runNamedTests(ctx context.Context, b *mutation.Mutant) (string, error) {
	return withOverlay(b, func(overlay string) (string, error) {
		var failed []string
		for _, t := range b.Tests {
			said, failure := runTests(ctx, t.Package, t.RunPattern(), overlay)
			name := innermostFailure(said)
			switch {
			case failure == nil:
				return "", fmt.Errorf("%s passes", t.Name)
			case name == "":
				return "", fmt.Errorf("%s did not fail as a test does: %s", t.Name, said)
			}
			failed = append(failed, "`"+name+"`")
		}
		return strings.Join(failed, ", "), nil
	})
}

// runChaos has make chaos look for the mutant. Only a violation that it reports kills it.
func runChaos(ctx context.Context, b *mutation.Mutant) (string, error) {
	return withOverlay(b, func(overlay string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=24h", "-failfast", "-run=^TestChaos_", "./internal/e2e")
		cmd.Env = append(os.Environ(), slow, overlayVariable(overlay))
		said, err := cmd.CombinedOutput()
		if err == nil {
			return "", errors.New("chaos found nothing")
		}
		found := violation.FindSubmatch(said)
		if found == nil {
			return "", fmt.Errorf("chaos failed otherwise: %s", said[max(0, len(said)-2000):])
		}
		return fmt.Sprintf("seed %s, round %s: %s", found[1], found[2], found[3]), nil
	})
}

// violation matches the report of chaos about a broken promise.
var violation = regexp.MustCompile(`CHAOS_SEED=(\d+) CHAOS_ROUND=(\d+): ([^\n]*)`)

// withOverlay writes the overlay of the mutant, runs do with it, and removes it.
func withOverlay(b *mutation.Mutant, do func(overlay string) (string, error)) (killed string, err error) {
	folder, err := os.MkdirTemp("", "rollcall-mutant-")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	root, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	overlay, err := b.WriteOverlay(root, folder)
	if err != nil {
		return "", fmt.Errorf("apply it: %w", err)
	}
	return do(overlay)
}

// slow lets tests run that slowtest marks.
const slow = "ROLLCALL_SLOW=1"

// overlayVariable returns the environment variable with which the go command builds what an overlay makes of the source.
func overlayVariable(overlay string) string {
	return strings.TrimSpace("GOFLAGS=" + os.Getenv("GOFLAGS") + " -overlay=" + overlay)
}

// runTests runs tests of a package, with an overlay unless that is empty. The tests of package e2e build the server: the
// overlay holds for that too.
func runTests(ctx context.Context, in, pattern, overlay string) (said string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=5m", "-run="+pattern, in)
	cmd.Env = append(os.Environ(), slow)
	if overlay != "" {
		cmd.Env = append(cmd.Env, overlayVariable(overlay))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err //nolint:wrapcheck // the output is more useful
}

var failure = regexp.MustCompile(`--- FAIL: (\S+)`)

// innermostFailure returns the innermost of the tests that failed first; empty when none did, but something else was wrong.
func innermostFailure(said string) string {
	var longest string
	for _, match := range failure.FindAllStringSubmatch(said, -1) {
		if longest == "" || strings.HasPrefix(match[1], longest+"/") {
			longest = cmp.Or(match[1], longest)
		}
	}
	return longest
}
