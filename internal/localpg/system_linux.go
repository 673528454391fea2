package localpg

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// childOf makes a process its own group, so that Ctrl-C does not reach it before the server, and has the kernel ask it
// to shut down (SIGINT is PostgreSQL's fast shutdown) when the thread that started it dies.
func childOf(who account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who.credential(), Setpgid: true, Pdeathsig: syscall.SIGINT}
}

// runsOn reports whether pid is a PostgreSQL on that data: it works in its data folder.
func runsOn(pid int, data string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && cwd == data
}
