package localpg

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lockFile takes the folder for this process, until the file is closed or the process dies. The file is never removed:
// removing it would let two servers hold locks on two files of the same name.
func lockFile(at dataDir) (*os.File, error) {
	f, err := os.OpenFile(at.lockPath(), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", at.dir, err)
	}
	if err := takeLock(f, at.dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func takeLock(f *os.File, dir string) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("the folder %s is in use by another server (pid %s): stop it, or choose another folder with --state-dir",
			dir, lockHolder(f))
	}
	if err != nil {
		return fmt.Errorf("lock the folder %s: %w", dir, err)
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("write the lock of %s: %w", dir, err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("write the lock of %s: %w", dir, err)
	}
	return nil
}

// lockHolder returns the pid that the lock's owner left in it.
func lockHolder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(b))
	if err != nil || pid == "" {
		return "unknown"
	}
	return pid
}
