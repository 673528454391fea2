package localpg

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestStart_SecondServerOnFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	refused(t, Config{Dir: dir}, dir, "in use by another server", "pid "+itoa(os.Getpid()))
	query[int](t, s.URL(), "SELECT 1")
}

func TestStart_ForeignFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("mine"), 0o644))
	refused(t, Config{Dir: dir}, dir, "thesis.txt")

	data := folder(t)
	must(t, os.MkdirAll(filepath.Join(data, "data"), 0o755))
	must(t, os.WriteFile(filepath.Join(data, "data", "thesis.txt"), []byte("mine"), 0o644))
	refused(t, Config{Dir: data}, data, "no PG_VERSION")
}

func TestStart_FolderOfAnotherAccountIsRefused(t *testing.T) {
	t.Parallel()
	other := needRoot(t)
	dir := folder(t)
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.Chown(dir, other.uid, other.gid))
	refused(t, Config{Dir: dir}, dir, "belongs to "+other.name)
}

func TestStart_UnreachableFolderIsNamed(t *testing.T) {
	t.Parallel()
	needRoot(t)
	needPrograms(t)
	closed := folder(t)
	must(t, os.Mkdir(closed, 0o700))
	refused(t, Config{Dir: filepath.Join(closed, "a", "b")}, "cannot enter "+closed+" ", "chmod o+x "+closed)
}

func TestStart_OtherVersionsDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	must(t, s.Stop())
	version := filepath.Join(s.dataDir.dataPath(), "PG_VERSION")
	must(t, os.WriteFile(version, []byte("9\n"), 0o600))
	refused(t, Config{Dir: dir, Bin: s.progs.dir}, "written by PostgreSQL 9", "postgresql-9", "pg_upgrade")
	kept, err := os.ReadFile(version)
	must(t, err)
	if string(kept) != "9\n" {
		t.Error("the data was changed")
	}
}

func TestStart_MissingProgramsNameInstallCommand(t *testing.T) {
	t.Parallel()
	refused(t, Config{Dir: folder(t), Bin: t.TempDir()}, "initdb, postgres and pg_ctl")
	for root, want := range map[bool]string{
		true:  "`apt-get update && apt-get install -y postgresql`",
		false: "`sudo apt-get update && sudo apt-get install -y postgresql`",
	} {
		if err := missingPrograms(root); !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestStart_OrdinaryUserRunsAsItself(t *testing.T) {
	t.Parallel()
	other := needRoot(t)
	needPrograms(t)
	dir := folder(t)
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chown(dir, other.uid, other.gid))
	binary := copyOfThisBinary(t)
	as := other.credential()

	first := startHelper(t, binary, dir, as)
	write(t, first.url) // root may enter every socket folder
	pid := postmaster(t, dir)
	first.kill(t)
	eventually(t, "postgres ends with its killed server", func() bool {
		return runtime.GOOS != "linux" || !runsOn(pid, filepath.Join(dir, "data"))
	})

	second := startHelper(t, binary, dir, as)
	wantKept(t, second.url)
	pid = postmaster(t, dir)
	st, err := os.Stat(filepath.Join(dir, "data"))
	must(t, err)
	if ownerUID(st) != other.uid {
		t.Errorf("the data belongs to uid %d", ownerUID(st))
	}
	must(t, second.in.Close())
	must(t, second.cmd.Wait())
	if runsOn(pid, filepath.Join(dir, "data")) {
		t.Error("postgres still runs")
	}
}

// needRoot skips where the tests cannot become another account, and returns that account.
func needRoot(t *testing.T) account {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another account")
	}
	able := unprivilegedAccounts()
	if len(able) == 0 {
		t.Skip("there is no account to become")
	}
	return able[len(able)-1]
}

// copyOfThisBinary copies this test binary to where every account can run it.
func copyOfThisBinary(t *testing.T) string {
	t.Helper()
	path := folder(t)
	// By another process: a file that this one had open for writing could not be run while any child still holds it.
	must(t, exec.Command("cp", os.Args[0], path).Run())
	must(t, os.Chmod(path, 0o755))
	return path
}

// A process that forks at the moment of the stop has the lock's file open for as long as its child runs nothing yet.
func TestStop_FolderIsFreeDespiteForkedLock(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	forked, err := syscall.Dup(int(s.lock.Fd()))
	must(t, err)
	defer func() { must(t, syscall.Close(forked)) }()
	must(t, s.Stop())
	start(t, dir)
}
