package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server for tests: fast, and with nothing durable.
type Server struct {
	// URL names the server's own database; its role may do everything.
	URL string
	// Origin names where the server comes from, for people to read.
	Origin string
	stop   func() error
	// What follows is of a server of installed programs only.
	data   string
	orders io.Writer
}

// Stop ends the server and removes its data. A server that is not stopped ends when this process has ended, however that
// came about; the Server must be kept for as long as it is needed.
func (s *Server) Stop() error { return s.stop() }

// errNone means that this machine has nothing to start a server with.
var errNone = errors.New("no PostgreSQL to test with")

// Start starts a server: from installed programs, else in a container.
func Start() (*Server, error) {
	bin, err := findPrograms()
	if err == nil {
		return startLocal(bin)
	}
	s, errContainer := StartContainer()
	if errContainer != nil {
		return nil, errors.Join(errNone, err, errContainer)
	}
	return s, nil
}

// findPrograms returns the folder with initdb and postgres, and with what makes a standby where there is one.
func findPrograms() (string, error) {
	var folders []string
	for _, name := range []string{"initdb", "postgres"} {
		if path, err := exec.LookPath(name); err == nil {
			folders = append(folders, filepath.Dir(path))
			if target, err := filepath.EvalSymlinks(path); err == nil {
				folders = append(folders, filepath.Dir(target))
			}
		}
	}
	packaged, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	slices.Reverse(packaged)
	folders = append(folders, packaged...)
	for _, names := range [][]string{{"initdb", "postgres", "pg_basebackup"}, {"initdb", "postgres"}} {
		if i := slices.IndexFunc(folders, func(dir string) bool { return hasAll(dir, names) }); i >= 0 {
			return folders[i], nil
		}
	}
	return "", errors.New("no initdb and postgres in PATH or /usr/lib/postgresql")
}

func hasAll(dir string, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err != nil
	})
}

// script makes the data, or copies that of the server at $4, runs the server, obeys crash and start, and removes everything
// when its standard input ends. That is a pipe of which only the process that started it holds the other end, so it ends with
// that process, even when it was killed.
const script = `
serve() {
	"$1/postgres" -D "$2/data" -k "$2" -p "$3" -c listen_addresses=127.0.0.1 -c max_connections=300 -c shared_buffers=64MB \
		-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c autovacuum=off -c max_wal_size=1GB \
		-c timezone=UTC -c log_checkpoints=off >>"$2/log" 2>&1 &
	server=$!
}
if [ -z "$4" ]; then
	"$1/initdb" -D "$2/data" -U rollcall -A trust -E UTF8 --locale=C --no-sync >"$2/log" 2>&1
else
	"$1/pg_basebackup" -D "$2/data" -d "$4" -R -X stream -c fast --no-sync >"$2/log" 2>&1
fi
serve "$@"
while read -r order; do
	case $order in
	crash) kill -QUIT $server; wait $server ;;
	start) kill -0 $server 2>/dev/null || serve "$@" ;;
	esac
done
kill -INT $server
wait $server
rm -rf "$2"
`

const startTimeout = 30 * time.Second

const (
	memoryFolder = "/dev/shm"
	enoughMemory = 4 << 30 // bytes: the write-ahead log, and the databases of the tests that run at once
)

// dataParent returns the folder for the data: in memory, where Linux has enough of it, else that of temporary files. Each database
// is a thousand files: on ext4, which passes over the inodes of files deleted lately, making them took half the time of all tests.
func dataParent() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memoryFolder, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < enoughMemory { //nolint:gosec,unconvert // its type differs between systems
		return ""
	}
	return memoryFolder
}

func startLocal(bin string) (*Server, error) { return startCopy(bin, "") }

// startCopy starts a server with data of its own, or as a standby of the server at a URL.
func startCopy(bin, of string) (*Server, error) {
	dir, err := os.MkdirTemp(dataParent(), "rollcall-pg-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the data: %w", err)
	}
	who, err := unprivilegedAccount(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	port, err := freePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.Command("/bin/sh", "-c", script, "dbtest", bin, dir, port, of) //nolint:noctx // it lives until Stop
	cmd.Dir = dir
	// In a process group of its own a Ctrl-C in the terminal does not reach it before the tests have ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), os.RemoveAll(dir))
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	s := &Server{
		URL:    "postgres://rollcall@127.0.0.1:" + port + "/postgres?sslmode=disable",
		Origin: "the programs installed in " + bin,
		stop:   func() error { return stopLocal(cmd, life) },
		data:   filepath.Join(dir, "data"), orders: life,
	}
	if err := waitUntilReady(s.URL, startTimeout); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log")) // without it the error says less
		return nil, errors.Join(fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, log), s.Stop())
	}
	return s, nil
}

func stopLocal(cmd *exec.Cmd, life io.Closer) error {
	err := life.Close()
	_ = cmd.Wait() // the script's exit says nothing of interest
	return err     //nolint:wrapcheck // closing a pipe
}

// unprivilegedAccount returns the account that runs the server, because PostgreSQL refuses to run as root, and gives it the folder.
func unprivilegedAccount(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil: as we are
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("read the ids of account %s: %w", name, err)
		}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, fmt.Errorf("give the folder to account %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither an account \"postgres\" nor \"nobody\"")
}

// freePort returns a port that nothing listens on. It is below those that the kernel gives to outgoing connections
// (ip_local_port_range): one of these may be taken again before the server listens.
func freePort() (string, error) {
	const first, count, tries = 20_000, 12_000, 100
	var err error
	for range tries {
		var l net.Listener
		port := strconv.Itoa(first + rand.IntN(count))                                   //nolint:gosec // no secret
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil { //nolint:noctx // it is closed at once
			return port, l.Close() //nolint:wrapcheck // the caller says what was tried
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}

// waitUntilReady waits until the server answers.
func waitUntilReady(address string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			return conn.Close(ctx) //nolint:wrapcheck // the caller says what was tried
		}
		select {
		case <-ctx.Done():
			return err //nolint:wrapcheck // the caller says what was tried
		case <-poll.C:
		}
	}
}
