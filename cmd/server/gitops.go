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
	"rollcall/internal/gitops"
	"rollcall/internal/health"
	"rollcall/internal/metrics"
	"rollcall/internal/netguard"
)

// gitopsFlags describe a source that is there from the start. Its secrets come from files: a flag can be read by everybody
// on the machine.
type gitopsFlags struct {
	URL            string        `help:"Git repository of a source that is there from the start." env:"ROLLCALL_GITOPS_URL"`
	Name           string        `help:"Its name." default:"default" env:"ROLLCALL_GITOPS_NAME"`
	Branch         string        `help:"Its branch." default:"main" env:"ROLLCALL_GITOPS_BRANCH"`
	Path           string        `help:"The folder or file in it; empty for all of it." env:"ROLLCALL_GITOPS_PATH"`
	Interval       time.Duration `help:"The time between two polls." default:"1m" env:"ROLLCALL_GITOPS_INTERVAL"`
	Heal           bool          `help:"Bring targets back that run something else than Git says." env:"ROLLCALL_GITOPS_HEAL"`
	AllowEmpty     bool          `help:"A path without any definition is meant, and no error." env:"ROLLCALL_GITOPS_ALLOW_EMPTY"`
	Username       string        `help:"Goes with the token." default:"x-access-token" env:"ROLLCALL_GITOPS_USERNAME"`
	TokenFile      string        `help:"File with the token for https." env:"ROLLCALL_GITOPS_TOKEN_FILE"`
	SSHKeyFile     string        `name:"ssh-key-file" help:"File with the private key for ssh." env:"ROLLCALL_GITOPS_SSH_KEY_FILE"`
	KnownHosts     string        `name:"known-hosts-file" help:"File with the keys of the ssh host." env:"ROLLCALL_GITOPS_KNOWN_HOSTS_FILE"`
	AllowedSigners string        `name:"allowed-signers-file" help:"File with who may sign commits; with it, unsigned ones are refused." env:"ROLLCALL_GITOPS_ALLOWED_SIGNERS_FILE"`
	HookSecretFile string        `help:"File with the secret of push notifications." env:"ROLLCALL_GITOPS_HOOK_SECRET_FILE"`
}

// request is the source as PUT /gitops/sources/{name} takes it.
func (g *gitopsFlags) request() ([]byte, error) {
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

// wireGitOps makes what works on sources, with deployments made as the API makes them, and the source of the flags.
func (s *server) wireGitOps(
	ctx context.Context, ac api.Config, guard *netguard.Guard, prober *health.Checker, m *metrics.Metrics,
) error {
	ac.Store = s.work
	deployer, err := api.NewDeployer(ac)
	if err != nil {
		return fmt.Errorf("making what deploys for Git: %w", err)
	}
	s.gitops, err = gitops.New(gitops.Config{
		Replica: s.identity.replica, Folder: s.mirrorFolder(), Store: s.work, Deployments: s.work, Deployer: deployer, Prober: prober,
		Resolver: guard, Recorder: m, Log: s.log.With("replica", s.identity.replica), Share: rand.Float64,
	})
	if err != nil {
		return fmt.Errorf("making what follows Git: %w", err)
	}
	if s.config.Gitops.URL == "" {
		return nil
	}
	request, err := s.config.Gitops.request()
	if err == nil {
		err = deployer.PutSource(ctx, s.config.Gitops.Name, request)
	}
	if err != nil {
		return fmt.Errorf("the source of --gitops-url: %w", err)
	}
	return nil
}

// mirrorFolder is this replica's own, and made when the first source is read; without a state folder it lasts as long as
// the process.
func (s *server) mirrorFolder() string {
	if s.identity.lock != nil {
		return filepath.Join(s.config.StateDir, "gitops", s.identity.replica)
	}
	s.scratch = filepath.Join(os.TempDir(), "rollcall-gitops-"+s.identity.replica)
	return s.scratch
}

// tidyMirrors removes the mirrors that were for this process only.
func (s *server) tidyMirrors() error {
	if s.scratch == "" {
		return nil
	}
	return os.RemoveAll(s.scratch)
}
