package localpg

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestStart_WarmStartKeepsData(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first := start(t, dir)
	write(t, first.URL())
	must(t, first.Stop())
	second := start(t, dir)
	wantKept(t, second.URL())
	if first.URL() != second.URL() {
		t.Errorf("the URL changed from %s to %s", first.URL(), second.URL())
	}
}

func TestStart_IsDurableAndSocketOnly(t *testing.T) {
	t.Parallel()
	s := start(t, seeded(t))
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on",
		"listen_addresses": "", "server_encoding": "UTF8", "lc_collate": "C", "TimeZone": "UTC",
	} {
		sql := "SELECT current_setting('" + name + "')"
		if name == "lc_collate" { // a setting until version 15, a column of the database since
			sql = "SELECT datcollate FROM pg_database WHERE datname = current_database()"
		}
		if got := query[string](t, s.URL(), sql); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	for _, private := range []string{s.dataDir.socket, s.dataDir.dataPath()} {
		st, err := os.Stat(private)
		must(t, err)
		if st.Mode().Perm() != 0o700 {
			t.Errorf("%s is open to others: %v", private, st.Mode())
		}
	}
}

func TestStop_LeavesNoProcessAndFreesFolder(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	pid := postmaster(t, dir)
	must(t, s.Stop())
	must(t, s.Stop())
	<-s.Done()
	must(t, s.Err())
	if isAlive(pid) || runsOn(pid, s.dataDir.dataPath()) {
		t.Error("postgres still runs")
	}
	if err := syscall.Kill(-pid, 0); err == nil {
		t.Error("a child of postgres still runs")
	}
}

func TestKill_LeavesNoOrphanAndDataIntact(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	h := startHelper(t, os.Args[0], dir, nil)
	write(t, h.url)
	pid := postmaster(t, dir)
	h.kill(t)
	next := start(t, dir)
	wantKept(t, next.URL())
	if postmaster(t, dir) == pid {
		t.Error("the old postgres was not replaced")
	}
	eventually(t, "the orphan ends", func() bool { return !runsOn(pid, next.dataDir.dataPath()) })
}

func TestStart_StopsOrphanFirst(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	write(t, s.URL())
	must(t, s.Stop())

	orphan := exec.Command(s.progs.postgresPath(), s.serverArgs()...)
	orphan.Dir = dir
	orphan.SysProcAttr = &syscall.SysProcAttr{Credential: s.who.credential(), Setpgid: true}
	must(t, orphan.Start())
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	eventually(t, "the orphan is up", func() bool {
		found, err := s.dataDir.readPID()
		return err == nil && found.ready
	})

	wantKept(t, start(t, dir).URL())
	must(t, <-ended)
}

func TestStart_UnrelatedPIDIsNoOrphan(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	write(t, s.URL())
	must(t, s.Stop())
	bystander := exec.Command("sleep", "600")
	bystander.SysProcAttr = &syscall.SysProcAttr{Credential: s.who.credential()}
	must(t, bystander.Start())
	defer func() { _, _ = bystander.Process.Kill(), bystander.Wait() }() // killed is how it ends
	pid := []byte(strings.Join([]string{itoa(bystander.Process.Pid), s.dataDir.dataPath(), "1", port, s.dataDir.socket, "", "", "ready"}, "\n"))
	must(t, os.WriteFile(s.dataDir.pidPath(), pid, 0o644))

	wantKept(t, start(t, dir).URL())
	if !isAlive(bystander.Process.Pid) {
		t.Error("the bystander was stopped")
	}
}

func TestSupervise_RestartsDeadPostgres(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	write(t, s.URL())
	pid := postmaster(t, dir)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "another postgres is ready", func() bool {
		found, err := s.dataDir.readPID()
		return err == nil && found.pid != pid && found.ready
	})
	wantKept(t, s.URL())
	must(t, s.Stop())
}

func TestSupervise_GivesUpOnUnrunnablePostgres(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	must(t, os.Remove(filepath.Join(s.dataDir.dataPath(), "global", "pg_control")))
	must(t, syscall.Kill(postmaster(t, dir), syscall.SIGKILL))
	<-s.Done()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "failed 5 times in a row") {
		t.Errorf("the reason is %v", err)
	}
	if s.Stop() == nil {
		t.Error("stop forgot the reason")
	}
}

func TestSocket_LongPathGetsShortSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("long/", 25))
	s := start(t, dir)
	write(t, s.URL())
	must(t, s.Stop())
	if _, err := os.Stat(s.dataDir.socket); err == nil {
		t.Errorf("the folder %s was left behind", s.dataDir.socket)
	}
	wantKept(t, start(t, dir).URL())
}

func TestStart_UnfinishedDataIsRemoved(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	left := filepath.Join(dir, unfinished+"-123", "base")
	must(t, os.MkdirAll(left, 0o755))
	start(t, dir)
	if _, err := os.Stat(left); err == nil {
		t.Error("it is still there")
	}
}
