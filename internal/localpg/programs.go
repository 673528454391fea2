package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// programs is the folder with PostgreSQL's server programs.
type programs struct{ dir string }

func (p programs) initdbPath() string   { return filepath.Join(p.dir, "initdb") }
func (p programs) postgresPath() string { return filepath.Join(p.dir, "postgres") }
func (p programs) pgCtl() string        { return filepath.Join(p.dir, "pg_ctl") }

func (p programs) isComplete() bool {
	for _, f := range []string{p.initdbPath(), p.postgresPath(), p.pgCtl()} {
		if st, err := os.Stat(f); err != nil || st.IsDir() {
			return false
		}
	}
	return true
}

// findPrograms looks in bin, if given, and nowhere else; otherwise for the version that wrote the data, if there is
// data, then in PATH, then for the newest version installed.
func findPrograms(bin, version string) (programs, error) {
	if bin != "" {
		if p := (programs{bin}); p.isComplete() {
			return p, nil
		}
		return programs{}, fmt.Errorf("initdb, postgres and pg_ctl are not all in %s", bin)
	}
	for _, dir := range candidateDirs(version) {
		if p := (programs{dir}); p.isComplete() {
			return p, nil
		}
	}
	return programs{}, missingPrograms(os.Geteuid() == 0)
}

func missingPrograms(root bool) error {
	install := "apt-get update && apt-get install -y postgresql"
	if !root {
		install = "sudo apt-get update && sudo apt-get install -y postgresql"
	}
	return errors.New("PostgreSQL's server programs (initdb, postgres, pg_ctl) were not found; install them with `" +
		install + "`, or give a database of your own with DATABASE_URL")
}

// packageFolders returns the folders where packages put the server programs: Debian, Fedora, Alpine, Homebrew.
func packageFolders() []string {
	return []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	}
}

func candidateDirs(version string) []string {
	var dirs []string
	for _, pattern := range packageFolders() {
		found, err := filepath.Glob(pattern)
		if err == nil { // the patterns are constants: they never are malformed
			dirs = append(dirs, found...)
		}
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return folderVersion(b) - folderVersion(a) })
	if onPath, err := exec.LookPath("postgres"); err == nil {
		if resolved, err := filepath.EvalSymlinks(onPath); err == nil {
			dirs = slices.Insert(dirs, 0, filepath.Dir(resolved))
		}
	}
	if major, err := strconv.Atoi(version); err == nil {
		slices.SortStableFunc(dirs, func(a, b string) int { return rankDir(b, major) - rankDir(a, major) })
	}
	return dirs
}

func rankDir(dir string, major int) int {
	if folderVersion(dir) == major {
		return 1
	}
	return 0
}

var digits = regexp.MustCompile(`[0-9]+`)

// folderVersion returns the major version that a folder's name carries, 0 for none.
func folderVersion(dir string) int {
	n, err := strconv.Atoi(digits.FindString(dir))
	if err != nil {
		return 0
	}
	return n
}

// checkVersion refuses data that another major version of PostgreSQL wrote: upgrading is the owner's decision.
func (p programs) checkVersion(ctx context.Context, at dataDir) error {
	data := at.majorVersion()
	if data == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, p.postgresPath(), "--version").Output()
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", p.postgresPath(), err)
	}
	if have := digits.FindString(string(out)); have != data {
		return fmt.Errorf("the data in %s was written by PostgreSQL %s and the programs in %s are version %s: "+
			"install postgresql-%s, or upgrade the folder with pg_upgrade, as docs/how-to/upgrade.md shows", at.dataPath(), data, p.dir, have, data)
	}
	return nil
}
