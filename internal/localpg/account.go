package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// account is the account that PostgreSQL runs as: the caller's, or an unprivileged one if the caller is root.
type account struct {
	uid, gid int
	name     string
	drop     bool // the caller is root and the process must not be
}

// credential returns what a child process needs to become the account; nil when it is already.
func (a account) credential() *syscall.Credential {
	if !a.drop {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids of accounts fit: the kernel gave them
}

// accountFor returns the account to run PostgreSQL as: of the allowed ones, the owner of the data.
func accountFor(at dataDir) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid(), name: accountName(os.Geteuid())}, nil
	}
	able := unprivilegedAccounts()
	if len(able) == 0 {
		return account{}, errors.New("PostgreSQL refuses to run as root, and there is neither an account \"postgres\" nor \"nobody\"")
	}
	st, err := os.Stat(at.dataPath())
	if errors.Is(err, fs.ErrNotExist) {
		return able[0], nil
	}
	if err != nil {
		return account{}, fmt.Errorf("look at the data: %w", err)
	}
	uid := ownerUID(st)
	if i := slices.IndexFunc(able, func(a account) bool { return a.uid == uid }); i >= 0 {
		return able[i], nil
	}
	return account{}, fmt.Errorf("the data in %s belongs to %s: start as its owner, or choose another folder",
		at.dataPath(), accountName(uid))
}

// unprivilegedAccounts lists the accounts that root may run PostgreSQL as, the best first.
func unprivilegedAccounts() []account {
	var able []account
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil && uid != 0 {
			able = append(able, account{uid: uid, gid: gid, name: name, drop: true})
		}
	}
	return able
}

// accountName returns the name of a uid, or the number where there is none.
func accountName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}

// checkAccess finds out by trying whether the account can enter the folder and run the programs; when it cannot, the error
// names the folder that stands in the way.
func (a account) checkAccess(ctx context.Context, at dataDir, progs programs) error {
	if !a.drop {
		return nil
	}
	if err := os.Chmod(at.dir, 0o711); err != nil { //nolint:gosec // the account must pass through; data and socket are 0700
		return fmt.Errorf("open the data folder to %s: %w", a.name, err)
	}
	if err := a.runsIn(ctx, "/", progs); err != nil {
		return fmt.Errorf("run %s as %s: %w", progs.postgresPath(), a.name, err)
	}
	for _, dir := range parentDirs(at.dir) {
		if err := a.runsIn(ctx, dir, progs); err != nil {
			return fmt.Errorf("the account %s, which runs PostgreSQL because root may not, cannot enter %s (needed for %s): "+
				"`chmod o+x %s`, or choose another folder with --state-dir", a.name, dir, at.dir, dir)
		}
	}
	return nil
}

func (a account) runsIn(ctx context.Context, dir string, progs programs) error {
	cmd := exec.CommandContext(ctx, progs.postgresPath(), "--version")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential()}
	return cmd.Run() //nolint:wrapcheck // both callers say what was tried
}

// parentDirs lists dir and all that is above it except the root, from the top.
func parentDirs(dir string) []string {
	var all []string
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		all = append(all, d)
	}
	slices.Reverse(all)
	return all
}
