// Command sum adds up what all runs of `make chaos` have left in a folder, and shows how often each fault was injected. It fails
// when one never did, or when a promise was broken.
package main

import (
	"flag"
	"fmt"
	"os"

	"rollcall/internal/e2e/chaos"
)

func main() {
	folder := flag.String("folder", "bin/chaos", "where the runs have left their sums")
	flag.Parse()
	if err := run(*folder); err != nil {
		fmt.Fprintln(os.Stderr, "sum:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	sum, err := chaos.SumFolder(folder)
	if err != nil {
		return err //nolint:wrapcheck // it says what was tried
	}
	if _, err := os.Stdout.WriteString(sum.FormatTable()); err != nil {
		return fmt.Errorf("show the sum: %w", err)
	}
	if missing := sum.MissingKinds(); len(missing) > 0 {
		return fmt.Errorf("never happened: %q", missing)
	}
	if sum.Violations > 0 || sum.Failed > 0 {
		return fmt.Errorf("%d promises were broken, and %d rounds failed otherwise", sum.Violations, sum.Failed)
	}
	return nil
}
