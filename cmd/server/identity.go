package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/uuid"
)

// maxReplicasPerFolder limits how many servers share a state folder.
const maxReplicasPerFolder = 64

// identity is the replica's id. It is stored in the state folder under a lock that the kernel releases when the process
// dies: the next process takes the id of its dead predecessor, and continues its deployments at once instead of waiting for
// the lease to expire.
type identity struct {
	replica string
	lock    *os.File // nil for an id that is used once
}

// acquireIdentity takes the first free identity in the folder, or a new one if there is no folder to store it in.
func acquireIdentity(stateDir string) (*identity, error) {
	if stateDir == "" {
		return &identity{replica: uuid.NewString()}, nil
	}
	folder := filepath.Join(stateDir, "replicas")
	// The folder itself stays open to the account of a private Postgres, which has a folder of its own in it.
	err := errors.Join(os.MkdirAll(stateDir, 0o755), os.MkdirAll(folder, 0o700)) //nolint:gosec // see above
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &identity{replica: uuid.NewString()}, nil
	case err != nil:
		return nil, fmt.Errorf("creating the state folder: %w", err)
	}
	for n := range maxReplicasPerFolder {
		id, err := takeIdentity(filepath.Join(folder, fmt.Sprintf("%d.id", n)))
		if err != nil || id != nil {
			return id, err
		}
	}
	return nil, fmt.Errorf("%d servers already use %s", maxReplicasPerFolder, stateDir)
}

// takeIdentity takes the identity in a file; it returns nil if a running process holds it.
func takeIdentity(path string) (*identity, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the replica's identity: %w", err)
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil, f.Close()
	}
	name, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the replica's identity: %w", err), f.Close())
	}
	if id, err := uuid.Parse(strings.TrimSpace(string(name))); err == nil {
		return &identity{replica: id.String(), lock: f}, nil
	}
	fresh := uuid.NewString()
	if err := overwriteFile(f, fresh+"\n"); err != nil {
		return nil, errors.Join(fmt.Errorf("storing the replica's identity: %w", err), f.Close())
	}
	return &identity{replica: fresh, lock: f}, nil
}

func overwriteFile(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Sync()
}

// release frees the identity for the next process.
func (i *identity) release() error {
	if i.lock == nil {
		return nil
	}
	return i.lock.Close()
}
