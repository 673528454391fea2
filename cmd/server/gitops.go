package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/egress/guard"
	"rollcall/internal/gitops/mirror"
	"rollcall/internal/gitops/syncer"
	"rollcall/internal/health"
	"rollcall/internal/metrics"
)

// gitopsFlags configure a Git source that the server creates at its start. Its secrets come from files: other users can see
// flags.
type gitopsFlags struct {
	URL            string        `help:"Git repository of a source to create at the start." env:"ROLLCALL_GITOPS_URL"`
	Name           string        `help:"The source's name." default:"default" env:"ROLLCALL_GITOPS_NAME"`
	Branch         string        `help:"The source's branch." default:"main" env:"ROLLCALL_GITOPS_BRANCH"`
	Path           string        `help:"The folder or file in the repository; empty for all of it." env:"ROLLCALL_GITOPS_PATH"`
	Interval       time.Duration `help:"Interval between two polls." default:"1m" env:"ROLLCALL_GITOPS_INTERVAL"`
	Heal           bool          `help:"Redeploy targets whose version drifts from Git." env:"ROLLCALL_GITOPS_HEAL"`
	AllowEmpty     bool          `help:"Accept a path without any definition." env:"ROLLCALL_GITOPS_ALLOW_EMPTY"`
	Username       string        `help:"Username for the token." default:"x-access-token" env:"ROLLCALL_GITOPS_USERNAME"`
	TokenFile      string        `help:"File with the token for https." env:"ROLLCALL_GITOPS_TOKEN_FILE"`
	SSHKeyFile     string        `name:"ssh-key-file" help:"File with the private key for ssh." env:"ROLLCALL_GITOPS_SSH_KEY_FILE"`
	KnownHosts     string        `name:"known-hosts-file" help:"File with the keys of the ssh host." env:"ROLLCALL_GITOPS_KNOWN_HOSTS_FILE"`
	AllowedSigners string        `name:"allowed-signers-file" help:"File with the allowed signers of commits; if set, unsigned commits are rejected." env:"ROLLCALL_GITOPS_ALLOWED_SIGNERS_FILE"`
	HookSecretFile string        `help:"File with the secret of push notifications." env:"ROLLCALL_GITOPS_HOOK_SECRET_FILE"`
}

// sourceBody returns the body of PUT /gitops/sources/{name}.
func (g *gitopsFlags) sourceBody() ([]byte, error) {
	body := map[string]any{
		"url": g.URL, "branch": g.Branch, "path": g.Path, "interval": g.Interval.String(), "heal": g.Heal,
		"allow_empty": g.AllowEmpty, "username": g.Username,
	}
	for _, part := range []struct {
		field, file string
		secret      bool
	}{
		{"token", g.TokenFile, true},
		{"ssh_key", g.SSHKeyFile, true},
		{"hook_secret", g.HookSecretFile, true},
		{"known_hosts", g.KnownHosts, false},
		{"allowed_signers", g.AllowedSigners, false},
	} {
		if part.secret {
			body[part.field] = nil
		}
		if part.file == "" {
			continue
		}
		text, err := os.ReadFile(part.file)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", part.field, err)
		}
		body[part.field] = strings.TrimRight(string(text), "\r\n")
	}
	return json.Marshal(body)
}

// wireGitOps builds the syncer of Git sources, and creates the source of the flags.
func (s *server) wireGitOps(
	ctx context.Context, ac api.Config, addressGuard *guard.Guard, prober *health.Checker, m *metrics.Metrics,
) error {
	ac.Store = s.workerStore
	deployer, err := api.NewDeployer(ac)
	if err != nil {
		return fmt.Errorf("building the GitOps deployer: %w", err)
	}
	mirrors, err := mirror.New(mirror.Config{Folder: s.mirrorFolder(), Resolver: addressGuard})
	if err != nil {
		return fmt.Errorf("building the GitOps syncer: %w", err)
	}
	s.gitops = syncer.New(syncer.Config{
		Replica: s.identity.replica, Mirrors: mirrors, Store: s.workerStore, Deployments: s.workerStore, Deployer: deployer,
		Prober: prober, Recorder: m, Log: s.log.With("replica", s.identity.replica), Share: rand.Float64,
	})
	if s.config.Gitops.URL == "" {
		return nil
	}
	request, err := s.config.Gitops.sourceBody()
	if err == nil {
		err = deployer.PutSource(ctx, s.config.Gitops.Name, request)
	}
	if err != nil {
		return fmt.Errorf("creating the source of --gitops-url: %w", err)
	}
	return nil
}

// mirrorFolder returns the replica's folder for mirrors, which the first sync creates; without a state folder it is
// temporary.
func (s *server) mirrorFolder() string {
	if s.identity.lock != nil {
		return filepath.Join(s.config.StateDir, "gitops", s.identity.replica)
	}
	s.scratch = filepath.Join(os.TempDir(), "rollcall-gitops-"+s.identity.replica)
	return s.scratch
}

// removeScratchMirrors removes temporary mirrors.
func (s *server) removeScratchMirrors() error {
	if s.scratch == "" {
		return nil
	}
	return os.RemoveAll(s.scratch)
}
