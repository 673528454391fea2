package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxFile bounds a key file: some hundred keys.
const maxFile = 64 << 10

// ReadFile returns the keys of a file, one a line, the current one first. It rejects a file that others may read. A file of
// another account, such as a container's secret, may be readable by its group.
func ReadFile(path string) ([]Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("the key file %s is not a small ordinary file", path)
	}
	if info.Mode().Perm()&^allowedMode(info) != 0 {
		return nil, fmt.Errorf("the key file %s can be read by others: chmod 600 it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	keys, err := ParseKeys(string(text))
	if err != nil {
		return nil, fmt.Errorf("read the key file %s: %w", path, err)
	}
	return keys, nil
}

// allowedMode returns the permissions that a key file may have.
func allowedMode(info fs.FileInfo) fs.FileMode {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return 0o740
	}
	return 0o700
}

// LoadOrCreateFile returns the keys of a file, and creates it with a new key if it does not exist. Several processes may do so
// at once: all get the same keys.
func LoadOrCreateFile(path string) ([]Key, error) {
	keys, err := ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if err := createFile(path); err != nil {
		return nil, fmt.Errorf("make the key file: %w", err)
	}
	return ReadFile(path)
}

// createFile writes a whole file beside the path and links it there, unless another process was first.
func createFile(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-key-*") // 0600
	if err != nil {
		return err //nolint:wrapcheck // the caller adds the operation
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(NewKey(time.Now()).Text() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err //nolint:wrapcheck // the caller adds the operation
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the new name durable: a power cut must not lose a key that secrets are sealed with.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err //nolint:wrapcheck // the caller adds the operation
	}
	return errors.Join(d.Sync(), d.Close())
}
