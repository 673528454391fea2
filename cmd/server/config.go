package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"

	"rollcall/internal/rollout"
)

// Config is what the server is told: a flag, else its environment variable, else the default.
type Config struct {
	Addr             string            `help:"Address of the API (default :8080; with --dev 127.0.0.1:8080)." env:"ROLLCALL_ADDR"`
	AdminAddr        string            `help:"Second address, for /metrics and /debug/pprof; without it /metrics is on the main one." env:"ROLLCALL_ADMIN_ADDR"`
	DatabaseURL      string            `help:"Postgres to use (default: a private one below --state-dir)." env:"DATABASE_URL,ROLLCALL_DATABASE_URL"`
	StateDir         string            `help:"Folder for what this server keeps (default: /var/lib/rollcall, or ~/.local/state/rollcall)." env:"ROLLCALL_STATE_DIR"`
	Lease            time.Duration     `help:"How long a replica counts as alive after its last heartbeat." default:"6s" env:"ROLLCALL_LEASE"`
	Dev              bool              `help:"For one machine: listen on loopback only, and allow loopback targets." env:"ROLLCALL_DEV"`
	AllowCIDR        []string          `name:"allow-cidr" help:"Network that targets may be in, beside public addresses; repeatable." env:"ROLLCALL_ALLOW_CIDR"`
	AllowCommand     map[string]string `help:"Program that command checks may run, as name=path; repeatable." env:"ROLLCALL_ALLOW_COMMAND"`
	AllowSocket      []string          `help:"Unix socket of a router that may be written to, as an absolute path; repeatable." env:"ROLLCALL_ALLOW_SOCKET"`
	AllowPort        []uint16          `help:"Port below 1024, other than 80 and 443, that may be called; repeatable." env:"ROLLCALL_ALLOW_PORT"`
	SigningSecret    string            `help:"Key that signs webhook calls: whsec_ and base64; two, with a comma between, both sign." env:"ROLLCALL_SIGNING_SECRET"`
	SecretKey        string            `help:"Keys that seal secrets at rest, as id:base64 of 32 bytes, the current one first; better in the environment than here." env:"ROLLCALL_SECRET_KEY"`
	SecretKeyFile    string            `help:"File with such keys, one a line (default with the private Postgres: secret-key in --state-dir, made at first start)." env:"ROLLCALL_SECRET_KEY_FILE"`
	RotateSecrets    bool              `help:"Seal all secrets in the database with the current key, and exit."`
	Gitops           gitopsFlags       `embed:"" prefix:"gitops-"`
	AllowFileRemotes bool              `help:"Let sources be file:// repositories on this machine." env:"ROLLCALL_ALLOW_FILE_REMOTES"`
	LogLevel         slog.Level        `help:"debug, info, warn or error." default:"info" env:"ROLLCALL_LOG_LEVEL"`
	Version          kong.VersionFlag  `help:"Print the version and exit."`

	networks []netip.Prefix
	signing  rollout.Secret
}

const (
	defaultAddr    = ":8080"
	defaultDevAddr = "127.0.0.1:8080"
	minLease       = time.Second
)

// complete fills in what depends on other settings, and refuses what cannot be meant.
func (c *Config) complete() error {
	if c.Addr == "" {
		c.Addr = defaultAddr
		if c.Dev {
			c.Addr = defaultDevAddr
		}
	}
	if c.Dev && !loopback(c.Addr) {
		return fmt.Errorf("--dev serves without credentials and so only on loopback, not on %s", c.Addr)
	}
	if c.Lease < minLease {
		return fmt.Errorf("--lease must be at least %s", minLease)
	}
	for _, text := range c.AllowCIDR {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--allow-cidr %q is not a network such as 10.0.0.0/8", text)
		}
		c.networks = append(c.networks, network)
	}
	var err error
	if c.signing, err = checkSigningSecrets(c.SigningSecret); err != nil {
		return err
	}
	return c.completeStateDir()
}

func (c *Config) completeStateDir() error {
	if c.StateDir != "" {
		return nil
	}
	if os.Geteuid() == 0 {
		c.StateDir = "/var/lib/rollcall"
		return nil
	}
	if base := os.Getenv("XDG_STATE_HOME"); base != "" {
		c.StateDir = filepath.Join(base, "rollcall")
		return nil
	}
	home, err := os.UserHomeDir()
	if err != nil && c.DatabaseURL == "" {
		return errors.New("there is no home folder to keep data in: give --state-dir or --database-url")
	}
	if err == nil {
		c.StateDir = filepath.Join(home, ".local", "state", "rollcall")
	}
	return nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
