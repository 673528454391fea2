// Package mirror reads the repositories of Git sources: it runs git, bounded and apart from the settings of the machine, and
// keeps a bare copy of each repository on the disk.
package mirror

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/gitsource"
)

// head is the reference that a mirror keeps the source's branch under; nothing else of the mirror is used.
const head = "refs/rollcall/head"

var errTooLarge = errors.New("the repository is larger than this server takes")

// Config has what a Cache needs; everything without a default is required.
type Config struct {
	// Folder is where mirrors are kept; it is made when it is needed. No other process may use it.
	Folder   string
	Resolver Resolver
	// FetchTime and FetchBytes bound one fetch, and what a mirror may take up (2m, 512 MiB).
	FetchTime  time.Duration
	FetchBytes int64
}

const (
	defaultFetchTime  = 2 * time.Minute
	defaultFetchBytes = 512 << 20
)

// Cache has the bare copies of repositories on this machine. Each may be thrown away at any time.
type Cache struct {
	Config
	// fetchMemory bounds what each process of a fetch takes of the memory; 0: as much as other calls of git may.
	fetchMemory uint64
	mu          sync.Mutex
	// locks has a channel for each source, which holds a token while the mirror is not in use.
	locks map[string]chan struct{}
	// gitChecked is true once git was found to be new enough.
	gitChecked atomic.Bool
}

// New prepares a cache, and removes what interrupted calls have left.
func New(c Config) (*Cache, error) {
	c.FetchTime, c.FetchBytes = cmp.Or(c.FetchTime, defaultFetchTime), cmp.Or(c.FetchBytes, defaultFetchBytes)
	left, err := filepath.Glob(filepath.Join(c.Folder, "call-*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return nil, fmt.Errorf("clean up the folder for mirrors: %w", err)
	}
	return &Cache{Config: c}, nil
}

// checkGitVersion returns an error for a git that takes no address to call: it would resolve the host again by itself.
func (m *Cache) checkGitVersion(ctx context.Context) error {
	if m.gitChecked.Load() {
		return nil
	}
	out, err := runGit(ctx, command{dir: m.Folder, args: []string{"version"}})
	if err != nil {
		return fmt.Errorf("find git: %w", err)
	}
	var major, minor int
	_, err = fmt.Sscanf(string(out), "git version %d.%d", &major, &minor)
	if err != nil || major < 2 || major == 2 && minor < 37 {
		return fmt.Errorf("git 2.37 or later is needed, and this is %q", strings.TrimSpace(string(out)))
	}
	m.gitChecked.Store(true)
	return nil
}

// Mirror is the copy of one source's repository. No two calls of it run at once in this process.
type Mirror struct {
	path  string
	cache *Cache
}

// WithMirror calls do with the source's mirror, which nothing else uses meanwhile.
func (m *Cache) WithMirror(ctx context.Context, s *gitsource.Source, do func(*Mirror) error) error {
	free := m.lockOf(s.ID)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-free:
	}
	defer func() { free <- struct{}{} }()
	return do(&Mirror{path: m.pathOf(s.ID), cache: m})
}

func (m *Cache) pathOf(id string) string { return filepath.Join(m.Folder, id+mirrorSuffix) }

const mirrorSuffix = ".git"

func (m *Cache) lockOf(id string) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks == nil {
		m.locks = map[string]chan struct{}{}
	}
	if m.locks[id] == nil {
		m.locks[id] = make(chan struct{}, 1)
		m.locks[id] <- struct{}{}
	}
	return m.locks[id]
}

// KeepOnly removes the mirrors of all other sources. It does not wait: one that is in use stays until next time.
func (m *Cache) KeepOnly(ids []string) error {
	found, err := filepath.Glob(m.pathOf("*"))
	for _, path := range found {
		if id := strings.TrimSuffix(filepath.Base(path), mirrorSuffix); !slices.Contains(ids, id) {
			err = errors.Join(err, m.removeIdle(id))
		}
	}
	return err
}

func (m *Cache) removeIdle(id string) error {
	free := m.lockOf(id)
	select {
	case <-free:
		defer func() { free <- struct{}{} }()
		return os.RemoveAll(m.pathOf(id))
	default:
		return nil
	}
}

// FetchBranch updates the mirror to the source's branch and returns the commit.
func (m *Mirror) FetchBranch(ctx context.Context, s *gitsource.Source) (string, error) {
	tip, err := m.BranchTip(ctx, s)
	if err != nil {
		return "", err
	}
	return m.FetchCommit(ctx, s, tip)
}

// FetchCommit fetches a tip that BranchTip has returned. A damaged mirror is replaced.
func (m *Mirror) FetchCommit(ctx context.Context, s *gitsource.Source, tip string) (string, error) {
	_, err := os.Stat(m.path)
	old := err == nil
	revision, err := m.tryFetch(ctx, s, tip)
	if !errors.Is(err, errTooLarge) && !m.isDamaged(ctx, tip) {
		return revision, err
	}
	if err := os.RemoveAll(m.path); err != nil {
		return "", fmt.Errorf("remove the mirror: %w", err)
	}
	if !old {
		return "", err
	}
	return m.tryFetch(ctx, s, tip)
}

func (m *Mirror) tryFetch(ctx context.Context, s *gitsource.Source, tip string) (string, error) {
	folder, done, err := m.createCallFolder(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	if err := m.removeLocks(); err != nil {
		return "", err
	}
	if err := m.ensureRepository(ctx, tip); err != nil {
		return "", err
	}
	to, err := prepareRemote(ctx, s, m.cache.Resolver, folder)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.cache.FetchTime, fmt.Errorf("it took longer than %s", m.cache.FetchTime))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go m.watchSize(ctx, stop)
	_, err = runGit(ctx, command{
		dir: m.path, env: to.env, config: to.config, hide: to.hide, memory: m.cache.fetchMemory,
		args: []string{
			"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance",
			"--force", "--end-of-options", to.url, "+refs/heads/" + s.Branch + ":" + head,
		},
	})
	if err != nil {
		return "", err
	}
	if sizeOf(m.path) > m.cache.FetchBytes {
		return "", m.sizeError()
	}
	return m.queryLine(ctx, "rev-parse", "--verify", "--end-of-options", head+"^{commit}")
}

// removeLocks removes the locks of a git that was killed: no other process uses this mirror, and git would wait for them
// indefinitely.
func (m *Mirror) removeLocks() error {
	var left []string
	err := filepath.WalkDir(m.path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "objects":
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".lock"):
			left = append(left, path)
		}
		return nil
	})
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("remove the locks of a fetch that was killed: %w", err)
	}
	return nil
}

// ensureRepository creates the mirror when it is missing, for objects with names as long as tip.
func (m *Mirror) ensureRepository(ctx context.Context, tip string) error {
	if _, err := os.Stat(filepath.Join(m.path, "HEAD")); err == nil {
		return nil
	}
	_, err := runGit(ctx, command{dir: m.cache.Folder, args: []string{"init", "--quiet", "--bare", "--object-format=" + objectFormat(tip), "--end-of-options", m.path}})
	return err
}

// objectFormat names the hash function of a repository by the name of one of its objects.
func objectFormat(name string) string {
	if len(name) == 2*sha256.Size {
		return "sha256"
	}
	return "sha1"
}

// isDamaged reports whether the mirror exists and cannot be used for objects with names like tip.
func (m *Mirror) isDamaged(ctx context.Context, tip string) bool {
	if _, err := os.Stat(m.path); err != nil || ctx.Err() != nil {
		return false
	}
	format, err := m.queryLine(ctx, "rev-parse", "--show-object-format")
	if err == nil && format != objectFormat(tip) {
		return true
	}
	if err == nil {
		_, err = m.queryLine(ctx, "for-each-ref", "--format=%(objecttype)")
	}
	return err != nil && ctx.Err() == nil
}

// watchSize stops a fetch that takes more space than allowed.
func (m *Mirror) watchSize(ctx context.Context, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if sizeOf(m.path) > m.cache.FetchBytes {
				stop(m.sizeError())
			}
		}
	}
}

func (m *Mirror) sizeError() error {
	return fmt.Errorf("%w: more than %d MiB", errTooLarge, m.cache.FetchBytes>>20)
}

// sizeOf adds up the sizes of the files below a folder; those that vanish meanwhile do not count.
func sizeOf(folder string) int64 {
	var sum int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // git removes files of its own while this looks
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// queryLine runs a command on the mirror, without the remote, and returns its output of one line.
func (m *Mirror) queryLine(ctx context.Context, args ...string) (string, error) {
	out, err := runGit(ctx, command{dir: m.path, args: args})
	return strings.TrimSpace(string(out)), err
}

// DescendsFrom reports whether revision comes after older in history. A mirror that does not have older has the whole history
// of the branch without it.
func (m *Mirror) DescendsFrom(ctx context.Context, revision, older string) (bool, error) {
	if _, err := m.queryLine(ctx, "cat-file", "-e", older+"^{commit}"); err != nil {
		return false, ctx.Err()
	}
	_, err := m.queryLine(ctx, "merge-base", "--is-ancestor", "--end-of-options", older, revision)
	if exitCode(err) == 1 {
		return false, nil
	}
	return err == nil, err
}

// VerifySignature returns an error when none of the signers has signed the commit.
func (m *Mirror) VerifySignature(ctx context.Context, revision, signers string) error {
	if signers == "" {
		return nil
	}
	file, err := os.CreateTemp(m.cache.Folder, "call-signers-")
	if err != nil {
		return fmt.Errorf("write the allowed signers down: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // it holds no secret
	_, err = file.WriteString(signers + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the allowed signers down: %w", err)
	}
	_, err = runGit(ctx, command{dir: m.path, args: []string{"verify-commit", revision}, config: [][2]string{
		{"gpg.ssh.allowedSignersFile", file.Name()}, {"gpg.minTrustLevel", "fully"},
	}})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("commit %s is not signed by an allowed signer: %w", revision, err)
	}
	return err
}
