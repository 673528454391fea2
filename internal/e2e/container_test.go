package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
)

// contained runs a program as the container does: an ordinary user, a read-only file system except /tmp, no capability.
const contained = `#!/bin/sh
exec unshare --mount sh -c 'mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs tmp /mnt && cp "$0" /mnt/server && mount -o remount,ro /mnt &&
	exec setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs /mnt/server "$@"' "$SERVER" "$@"
`

func TestContainer_ServerNeedsNoPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give everything up")
	}
	t.Setenv("SERVER", binary)
	program := filepath.Join(t.TempDir(), "contained")
	if err := os.WriteFile(program, []byte(contained), 0o755); err != nil {
		t.Fatal(err)
	}
	f, p := newFleet(t, 2, "v1"), launchProgram(t, program, dbtest.New(t))
	p.awaitReady()
	p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	assertRuns(t, f, func(int) string { return "v2" })
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range []string{"Uid:\t65532\t65532", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), fact) {
			t.Errorf("not %q:\n%s", fact, status)
		}
	}
	if err := exec.Command("nsenter", "--target", strconv.Itoa(p.cmd.Process.Pid), "--mount", "touch", "/etc/x").Run(); err == nil {
		t.Error("its root file system can be written to")
	}
	p.stop()
}
