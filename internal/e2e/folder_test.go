package e2e

import (
	"os"
	"testing"
)

// privateFolder is a folder that the account of a private Postgres can reach, which t.TempDir is not for root.
func privateFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "rollcall-state-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}
