package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"rollcall/internal/auth"
	"rollcall/internal/duration"
	"rollcall/internal/secret"
)

// Config is what the server is told: a flag, else its environment variable, else the default.
type Config struct {
	Addr             string            `help:"Address of the API (default :8080; with --dev 127.0.0.1:8080)." env:"ROLLCALL_ADDR"`
	AdminAddr        string            `help:"Second address, for /metrics and /debug/pprof, on loopback unless it names a host; without it /metrics is on the main one." env:"ROLLCALL_ADMIN_ADDR"`
	DatabaseURL      string            `help:"Postgres to use (default: a private one below --state-dir)." env:"DATABASE_URL,ROLLCALL_DATABASE_URL"`
	OwnerDatabaseURL string            `help:"The same database, as the role that owns the tables: it migrates, and --database-url then needs no more rights than the server uses." env:"ROLLCALL_OWNER_DATABASE_URL"`
	Migrate          bool              `help:"Bring the database up to date as its owner, let the role of --database-url in, and exit."`
	StateDir         string            `help:"Folder for what this server keeps (default: /var/lib/rollcall, or ~/.local/state/rollcall)." env:"ROLLCALL_STATE_DIR"`
	MaxCalls         int               `help:"How many deploy calls are in flight at once; a deployment may have 10 whatever the others have." default:"500" env:"ROLLCALL_MAX_CALLS"`
	Lease            time.Duration     `help:"How long a replica counts as alive after its last heartbeat." default:"6s" env:"ROLLCALL_LEASE"`
	Dev              bool              `help:"For one machine: listen on loopback only, allow loopback targets, and ask for no token unless there is an admin token." env:"ROLLCALL_DEV"`
	AdminToken       string            `help:"Token that may do everything; better from the environment or a file, because others can see flags." env:"ROLLCALL_ADMIN_TOKEN"`
	AdminTokenFile   string            `help:"File with the admin token." env:"ROLLCALL_ADMIN_TOKEN_FILE"`
	OIDCConfig       string            `name:"oidc-config" help:"File that names the CI systems whose OIDC tokens are taken." env:"ROLLCALL_OIDC_CONFIG"`
	RateLimit        int               `help:"Requests per second that each token may make at each replica; 0 for any number." default:"200" env:"ROLLCALL_RATE_LIMIT"`
	QueueLimit       int               `help:"Deployments of one service, over all environments, that may be unfinished at once; 0 for any number." default:"100" env:"ROLLCALL_QUEUE_LIMIT"`
	Retain           string            `help:"How long deployments are kept after they ended, at least 24h, such as 90d; 0 for ever. The last two of a service in an environment that succeeded always stay." default:"0" env:"ROLLCALL_RETAIN"`
	AllowCIDR        []string          `name:"allow-cidr" help:"Network that may be called, beside public addresses: targets, checks, routers, Git, receivers of notifications; repeatable." env:"ROLLCALL_ALLOW_CIDR"`
	AllowCommand     map[string]string `help:"Program that command checks may run, as name=path; repeatable." env:"ROLLCALL_ALLOW_COMMAND"`
	AllowSocket      []string          `help:"Unix socket of a router that may be written to, as an absolute path; repeatable." env:"ROLLCALL_ALLOW_SOCKET"`
	RouterInterval   time.Duration     `help:"How often the router of each service and environment is read while no deployment is under way; what it forgot of the last one, by a reload or restart, is written again. 0 switches that off." default:"30s" env:"ROLLCALL_ROUTER_INTERVAL"`
	AllowPort        []uint16          `help:"Port below 1024, other than 80 and 443, that may be called; repeatable." env:"ROLLCALL_ALLOW_PORT"`
	SigningSecret    string            `help:"Key that signs webhook calls: whsec_ and base64; two, with a comma between, both sign." env:"ROLLCALL_SIGNING_SECRET"`
	SecretKey        string            `help:"Keys that seal secrets at rest, as id:base64 of 32 bytes, the current one first; better in the environment than here." env:"ROLLCALL_SECRET_KEY"`
	SecretKeyFile    string            `help:"File with such keys, one a line (default with the private Postgres: secret-key in --state-dir, made at first start)." env:"ROLLCALL_SECRET_KEY_FILE"`
	RotateSecrets    bool              `help:"Seal all secrets in the database with the current key, and exit."`
	PublicURL        string            `name:"public-url" help:"Where people reach this server; notifications link to it." env:"ROLLCALL_PUBLIC_URL"`
	Gitops           gitopsFlags       `embed:"" prefix:"gitops-"`
	AllowFileRemotes bool              `help:"Let sources be file:// repositories on this machine." env:"ROLLCALL_ALLOW_FILE_REMOTES"`
	LogLevel         slog.Level        `help:"debug, info, warn or error." default:"info" env:"ROLLCALL_LOG_LEVEL"`
	Version          kong.VersionFlag  `help:"Print the version and exit."`

	networks  []netip.Prefix
	providers []auth.Provider
	signing   secret.Secret
	retain    time.Duration // 0: for ever
}

const (
	defaultAddr    = ":8080"
	defaultDevAddr = "127.0.0.1:8080"
	minLease       = time.Second
	// minRouterInterval keeps routers from being asked without pause.
	minRouterInterval = time.Second
	// minRetain is how long nobody may remove events: see forget_deployments in the migrations.
	minRetain = 24 * time.Hour
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
	if strings.HasPrefix(c.AdminAddr, ":") {
		c.AdminAddr = "127.0.0.1" + c.AdminAddr
	}
	if err := c.checkBounds(); err != nil {
		return err
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
	return errors.Join(c.completeRetain(), c.checkPublicURL(), c.completeWho(), c.completeStateDir())
}

// checkBounds refuses numbers and times outside of what they can mean.
func (c *Config) checkBounds() error {
	switch {
	case c.MaxCalls < 0:
		return errors.New("--max-calls must be at least 1, or 0 for the default")
	case c.Lease < minLease:
		return fmt.Errorf("--lease must be at least %s", minLease)
	case c.RouterInterval < 0 || c.RouterInterval > 0 && c.RouterInterval < minRouterInterval:
		return fmt.Errorf("--router-interval must be at least %s, or 0 to leave routers alone between deployments", minRouterInterval)
	default:
		return nil
	}
}

func (c *Config) completeRetain() (err error) {
	if c.retain, err = duration.ParseDays(c.Retain); err != nil {
		return fmt.Errorf("--retain %w", err)
	}
	if c.retain != 0 && c.retain < minRetain {
		return fmt.Errorf("--retain must be at least %s, or 0 to keep deployments for ever", minRetain)
	}
	return nil
}

// checkPublicURL refuses what no link could begin with.
func (c *Config) checkPublicURL() error {
	if c.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("--public-url must be an http or https URL without user, query and fragment")
	}
	return nil
}

// completeWho reads what says who may come in.
func (c *Config) completeWho() (err error) {
	if c.RateLimit < 0 || c.QueueLimit < 0 {
		return errors.New("--rate-limit and --queue-limit must not be negative; 0 sets no limit")
	}
	if c.OIDCConfig != "" {
		if c.providers, err = auth.ReadProviders(c.OIDCConfig); err != nil {
			return fmt.Errorf("--oidc-config: %w", err)
		}
	}
	return c.completeAdminToken()
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
