package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"rollcall/internal/gitops"
	"rollcall/internal/gitsource"
)

// tipTime bounds how long a remote takes to list its branches, for which it packs nothing.
const tipTime = 20 * time.Second

// createCallFolder creates the folder for mirrors and, in it, one for the files of a single call, which done removes.
func (m *Mirror) createCallFolder(ctx context.Context) (folder string, done func(), err error) {
	if err := os.MkdirAll(m.cache.Folder, 0o700); err != nil {
		return "", nil, fmt.Errorf("create the folder for mirrors: %w", err)
	}
	if err := m.cache.checkGitVersion(ctx); err != nil {
		return "", nil, err
	}
	folder, err = os.MkdirTemp(m.cache.Folder, "call-")
	if err != nil {
		return "", nil, fmt.Errorf("create a folder for a call of git: %w", err)
	}
	return folder, func() { _ = os.RemoveAll(folder) }, nil // what is left of a crash is removed at the next start
}

// BranchTip returns the commit of the source's branch at the remote, and fetches nothing. Its length shows the object format
// of the repository: 40 digits are SHA-1, 64 SHA-256.
func (m *Mirror) BranchTip(ctx context.Context, s *gitsource.Source) (string, error) {
	folder, done, err := m.createCallFolder(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	to, err := prepareRemote(ctx, s, m.cache.Resolver, folder)
	if err != nil {
		return "", err
	}
	limit := min(tipTime, m.cache.FetchTime)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	defer cancel()
	call := command{
		dir: folder, env: to.env, config: to.config, hide: to.hide, memory: m.cache.fetchMemory,
		args: []string{"ls-remote", "--symref", "--end-of-options", to.url, "HEAD", "refs/heads/" + s.Branch},
	}
	out, err := runGit(ctx, call)
	if err != nil {
		return "", cmp.Or(redirectError(ctx, call, to.url, err), err)
	}
	return findTip(string(out), s.Branch)
}

// findTip returns the commit of the branch from the output of ls-remote, else an error that names the default branch.
func findTip(listed, branch string) (string, error) {
	defaultBranch := ""
	for line := range strings.Lines(listed) {
		value, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if name == "refs/heads/"+branch {
			return value, nil
		}
		if target, symbolic := strings.CutPrefix(value, "ref: refs/heads/"); symbolic && name == "HEAD" {
			defaultBranch = target
		}
	}
	if listed == "" {
		return "", fmt.Errorf("the remote has no branch %q, and no HEAD: it is empty, or shows a web page instead of a repository", branch)
	}
	if defaultBranch == "" {
		return "", fmt.Errorf("the remote has no branch %q, and names no default branch", branch)
	}
	return "", fmt.Errorf("the remote has no branch %q; its default branch is %q", branch, gitops.LabelValue(defaultBranch))
}

var (
	isRedirect = regexp.MustCompile(`returned error: 30[12378]\b`)
	// locationLine is a header of an answer, as git traces it.
	locationLine = regexp.MustCompile(`(?im)<= Recv header: location:[ \t]*(\S+)`)
)

// redirectError returns an error that names the target of a redirect; nil when the call was not redirected. The call is
// repeated once, because git only shows the headers of an answer when it is asked to before.
func redirectError(ctx context.Context, call command, from string, err error) error {
	f, failed := errors.AsType[*gitError](err)
	if !failed || !isRedirect.MatchString(f.text) {
		return nil
	}
	call.env = append(call.env, "GIT_TRACE_CURL=2", "GIT_TRACE_CURL_NO_DATA=1")
	_, err = runGit(ctx, call)
	traced, failed := errors.AsType[*gitError](err)
	if !failed {
		return nil
	}
	target := "a place that it does not name"
	if found := locationLine.FindStringSubmatch(traced.output); found != nil {
		target = redirectTarget(from, found[1])
	}
	return fmt.Errorf("%s redirects to %s, and redirects are not followed: if the repository was moved, set the source's url to that",
		from, target)
}

// redirectTarget returns the URL of the repository that a redirect leads to, without the parts that can hold secrets.
func redirectTarget(from, location string) string {
	base, err := url.Parse(from + "/info/refs")
	if err != nil {
		return "another place"
	}
	to, err := base.Parse(location)
	if err != nil {
		return "something that is not a URL"
	}
	plain := url.URL{Scheme: to.Scheme, Host: to.Host, Path: strings.TrimSuffix(to.Path, "/info/refs")}
	return gitops.TruncateText(plain.String(), gitops.MaxErrorText)
}
