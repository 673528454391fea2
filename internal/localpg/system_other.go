//go:build !linux

package localpg

import "syscall"

// childOf makes a process its own group, so that Ctrl-C does not reach it before the server. Only Linux can also have
// it end with its parent; elsewhere the next start stops it.
func childOf(who account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who.credential(), Setpgid: true}
}

// runsOn reports whether pid lives; pg_ctl, which is asked next, knows whether it is a PostgreSQL.
func runsOn(pid int, _ string) bool { return isAlive(pid) }
