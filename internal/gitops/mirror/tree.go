package mirror

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/gitops"
	"rollcall/internal/gitsource"
)

// Bounds of a repository's definitions.
const (
	maxFiles     = 1000
	maxTreeBytes = 64 << 20
	maxPathBytes = 512
)

// Entry is one file of a commit that may be a definition.
type Entry struct {
	Path   string
	Object string
	// Refused is the reason why it is not read; empty when it is.
	Refused string
}

// ListFiles lists the YAML files of a commit below the source's path, in the order of their names. Hidden files, whose
// names begin with a dot, are not for Rollcall.
func (m *Mirror) ListFiles(ctx context.Context, revision, below string) ([]Entry, error) {
	args := []string{"ls-tree", "-r", "-l", "-z", "--full-tree", revision}
	if below != "" {
		args = append(args, "--", below)
	}
	out, err := runGit(ctx, command{dir: m.path, args: args, env: []string{"GIT_LITERAL_PATHSPECS=1"}})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 && below != "" {
		return nil, noDefinitions(revision, below, "does not have the path")
	}
	var found []Entry
	var total int64
	for line := range strings.SplitSeq(string(out), "\x00") {
		e, size, ok := readEntry(line, below)
		if !ok {
			continue
		}
		found = append(found, e)
		if total += size; len(found) > maxFiles || total > maxTreeBytes {
			return nil, fmt.Errorf("there are more than %d files or %d MiB of definitions", maxFiles, maxTreeBytes>>20)
		}
	}
	if len(found) == 0 {
		return nil, noDefinitions(revision, below, "has no .yaml or .yml file at the path")
	}
	return found, nil
}

// ErrNoDefinitions is returned for a path without any definition.
var ErrNoDefinitions = errors.New("nothing says what should run")

// noDefinitions returns ErrNoDefinitions with what is missing, and where.
func noDefinitions(revision, below, missing string) error {
	return fmt.Errorf("commit %s %s %q: %w; what was read before stays in force (with allow_empty that is no error)",
		revision, missing, cmp.Or(below, "/"), ErrNoDefinitions)
}

// readEntry reads a line of ls-tree: mode, type, object and size, a tab, and the path.
func readEntry(line, below string) (e Entry, size int64, ok bool) {
	facts, name, found := strings.Cut(line, "\t")
	fields := strings.Fields(facts)
	if !found || len(fields) != 4 || !isDefinition(name, below) {
		return e, 0, false
	}
	e = Entry{Path: name, Object: fields[2]}
	size, err := strconv.ParseInt(fields[3], 10, 64)
	switch {
	case fields[0] == "120000":
		e.Refused = "is a symbolic link, and links are not followed"
	case fields[1] != "blob" || err != nil:
		return e, 0, false // a submodule
	case size > gitops.MaxFileBytes:
		e.Refused = fmt.Sprintf("is larger than %d KiB", gitops.MaxFileBytes>>10)
	case len(name) > maxPathBytes:
		e.Path, e.Refused = quotedName(name), fmt.Sprintf("has a name of more than %d bytes", maxPathBytes)
	case !isPlainPath(name):
		e.Path, e.Refused = quotedName(name), "has a name that is not plain text"
	}
	if e.Refused != "" {
		size = 0
	}
	return e, size, true
}

// isDefinition reports whether the file is for Rollcall: YAML, and not hidden below the source's path.
func isDefinition(name, below string) bool {
	ext := strings.ToLower(path.Ext(name))
	if ext != ".yaml" && ext != ".yml" {
		return false
	}
	rest := "/" + strings.TrimPrefix(strings.TrimPrefix(name, below), "/")
	return name == below || !strings.Contains(rest, "/.")
}

// quotedName quotes a name that is not plain text. Different names stay different, and none is longer than an index of the
// database takes.
func quotedName(name string) string {
	quoted := strconv.QuoteToASCII(name)
	if len(quoted) <= maxPathBytes {
		return quoted
	}
	sum := sha256.Sum256([]byte(name))
	return quoted[:maxPathBytes/2] + "…" + hex.EncodeToString(sum[:])
}

// isPlainPath reports whether a name is plain text and a clean path.
func isPlainPath(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl) && path.Clean(name) == name
}

// ReadFiles reads the files that are not refused, by object.
func (m *Mirror) ReadFiles(ctx context.Context, entries []Entry) (map[string][]byte, error) {
	var asked bytes.Buffer
	for _, e := range entries {
		if e.Refused == "" {
			asked.WriteString(e.Object + "\n")
		}
	}
	out, err := runGit(ctx, command{dir: m.path, args: []string{"cat-file", "--batch"}, stdin: asked.Bytes()})
	if err != nil {
		return nil, err
	}
	contents := map[string][]byte{}
	for len(out) > 0 {
		line, rest, _ := bytes.Cut(out, []byte("\n"))
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("the mirror lacks an object: %q", line)
		}
		size, err := strconv.Atoi(string(fields[2]))
		if err != nil || size < 0 || size >= len(rest) {
			return nil, fmt.Errorf("git cat-file answered with %q", line)
		}
		contents[string(fields[0])], out = rest[:size], rest[size+1:]
	}
	return contents, nil
}

// LastCommit returns the commit that last changed a file, as of the revision.
func (m *Mirror) LastCommit(ctx context.Context, revision, file string) (gitsource.Commit, error) {
	out, err := runGit(ctx, command{dir: m.path, env: []string{"GIT_LITERAL_PATHSPECS=1"}, args: []string{
		"log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%H%x00%cI%x00%an <%ae>%x00%s", revision, "--", file,
	}})
	if err != nil {
		return gitsource.Commit{}, err
	}
	parts := strings.SplitN(strings.TrimSuffix(string(out), "\n"), "\x00", 4)
	if len(parts) != 4 {
		return gitsource.Commit{}, fmt.Errorf("no commit changed %s", file)
	}
	at, err := time.Parse(time.RFC3339, parts[1])
	if err != nil {
		at = time.Time{} // Git keeps any number as a time, and not all are one
	}
	return gitsource.Commit{SHA: parts[0], Author: gitops.LabelValue(parts[2]), Message: gitops.LabelValue(parts[3]), Time: at.UTC()}, nil
}
