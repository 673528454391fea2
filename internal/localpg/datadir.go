package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxSocketPath is what the kernel takes as the name of a unix socket.
const maxSocketPath = 107

// maxLog is the size at which a start sets the log aside; one older log is kept.
const maxLog = 4 << 20

// unfinished is how the names of data folders begin that are still being initialised, or were when their server died.
const unfinished = "data.new"

// dataDir is the folder of one private PostgreSQL.
type dataDir struct {
	dir string
	// socket is the folder of the socket, once openSocket has run: inside dir, or in /tmp when that path is too long.
	socket string
}

func (p dataDir) dataPath() string { return filepath.Join(p.dir, "data") }
func (p dataDir) lockPath() string { return filepath.Join(p.dir, "lock") }
func (p dataDir) runPath() string  { return filepath.Join(p.dir, "run") }
func (p dataDir) logPath() string  { return filepath.Join(p.dir, "postgres.log") }

// openDataDir makes the folder when it is missing, and refuses one of another account.
func openDataDir(dir string) (dataDir, error) {
	if dir == "" {
		return dataDir{}, errors.New("no folder was given for its data")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dataDir{}, fmt.Errorf("find the folder %s: %w", dir, err)
	}
	if err := makeFolders(abs); err != nil {
		return dataDir{}, err
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return dataDir{}, fmt.Errorf("find the folder %s: %w", abs, err)
	}
	st, err := os.Stat(resolved)
	if err != nil {
		return dataDir{}, fmt.Errorf("look at the data folder: %w", err)
	}
	if uid := ownerUID(st); uid != os.Geteuid() {
		return dataDir{}, fmt.Errorf("the folder %s belongs to %s and this is %s: start as its owner, or choose another folder",
			resolved, accountName(uid), accountName(os.Geteuid()))
	}
	return dataDir{dir: resolved}, nil
}

// makeFolders makes dir and what is missing above it, open for other accounts to pass through whatever the umask is:
// one of them runs PostgreSQL when the caller is root. Data and socket are closed to others by folders of their own.
func makeFolders(dir string) error {
	for _, d := range parentDirs(dir) {
		err := os.Mkdir(d, 0o711) //nolint:gosec // see above
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
		if err := os.Chmod(d, 0o711); err != nil { //nolint:gosec // see above
			return fmt.Errorf("open the data folder for passing through: %w", err)
		}
	}
	return nil
}

// ownerUID returns the uid of a file's owner.
func ownerUID(st fs.FileInfo) int {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(sys.Uid)
	}
	return os.Geteuid()
}

// checkContents refuses a folder that holds anything but what this package leaves there.
func (p dataDir) checkContents() error {
	ours := []string{"data", "lock", "run", "postgres.log", "postgres.log.1"}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("read the data folder: %w", err)
	}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) && !strings.HasPrefix(e.Name(), unfinished) {
			return fmt.Errorf("the folder %s holds something else (%s): choose an empty folder", p.dir, e.Name())
		}
	}
	if p.majorVersion() != "" {
		return nil
	}
	inside, err := os.ReadDir(p.dataPath())
	if err == nil && len(inside) > 0 {
		return fmt.Errorf("the folder %s is not empty and holds no PostgreSQL data (no PG_VERSION)", p.dataPath())
	}
	return nil
}

// majorVersion returns the major version that wrote the data, empty when there is none.
func (p dataDir) majorVersion() string {
	b, err := os.ReadFile(filepath.Join(p.dataPath(), "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// openSocket makes the socket's folder, for the account and root alone. When the path is too long for a socket, "run"
// is a link to a folder in /tmp, and is used again by the next start.
func (p *dataDir) openSocket(who account) error {
	p.socket = p.runPath()
	if !tooLong(p.socket) {
		return privateFolder(p.socket, who)
	}
	if linked, err := os.Readlink(p.runPath()); err == nil {
		if st, err := os.Lstat(linked); err == nil && st.IsDir() && ownerUID(st) == who.uid {
			p.socket = linked
			return privateFolder(linked, who)
		}
	}
	short, err := os.MkdirTemp("/tmp", "rollcall-") // not $TMPDIR: that may be long, or closed to the account
	if err != nil {
		return fmt.Errorf("make a folder for the socket: %w", err)
	}
	if err := os.RemoveAll(p.runPath()); err != nil {
		return fmt.Errorf("clear the old socket folder: %w", err)
	}
	if err := os.Symlink(short, p.runPath()); err != nil {
		return fmt.Errorf("remember the socket folder: %w", err)
	}
	p.socket = short
	return privateFolder(short, who)
}

func tooLong(dir string) bool { return len(filepath.Join(dir, ".s.PGSQL."+port)) > maxSocketPath }

// closeSocket removes a socket folder in /tmp; one inside dir stays.
func (p dataDir) closeSocket() {
	if p.socket != "" && p.socket != p.runPath() {
		_ = os.RemoveAll(p.socket) // a leftover in /tmp is used again by the next start
	}
}

// privateFolder makes a folder that only the account and root may enter.
func privateFolder(dir string, who account) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a private folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs the x bit
		return fmt.Errorf("close a private folder: %w", err)
	}
	if err := os.Lchown(dir, who.uid, who.gid); err != nil {
		return fmt.Errorf("give %s to %s: %w", dir, who.name, err)
	}
	return nil
}

// openLog opens the log for appending, and sets a large one aside first.
func (p dataDir) openLog() (*os.File, error) {
	if st, err := os.Stat(p.logPath()); err == nil && st.Size() > maxLog {
		if err := os.Rename(p.logPath(), p.logPath()+".1"); err != nil {
			return nil, fmt.Errorf("set the old log aside: %w", err)
		}
	}
	f, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}
