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

// Config holds the server's settings. Each comes from its flag, else from its environment variable, else from its default.
type Config struct {
	Addr             string            `help:"Address to serve the API on (default :8080; with --dev 127.0.0.1:8080)." env:"ROLLCALL_ADDR"`
	AdminAddr        string            `help:"Second address, for /metrics and /debug/pprof; on loopback unless it names a host. Without it, /metrics is on the main address." env:"ROLLCALL_ADMIN_ADDR"`
	DatabaseURL      string            `help:"PostgreSQL database (default: a private one below --state-dir)." env:"DATABASE_URL,ROLLCALL_DATABASE_URL"`
	OwnerDatabaseURL string            `help:"The same database, as the role that owns the tables; used for migrations, so that --database-url needs fewer privileges." env:"ROLLCALL_OWNER_DATABASE_URL"`
	Migrate          bool              `help:"Run migrations as the owner, grant privileges to the --database-url role, and exit."`
	Healthcheck      bool              `help:"Ask the server that listens on --addr whether it is alive, and exit: 0 if it is."`
	StateDir         string            `help:"Folder for this server's data (default: /var/lib/rollcall, or ~/.local/state/rollcall)." env:"ROLLCALL_STATE_DIR"`
	MaxCalls         int               `help:"Maximum number of deploy calls in flight; each deployment may have 10 in any case." default:"500" env:"ROLLCALL_MAX_CALLS"`
	Lease            time.Duration     `help:"How long a replica is considered alive after its last heartbeat." default:"6s" env:"ROLLCALL_LEASE"`
	Dev              bool              `help:"Development mode: listen on loopback only, allow loopback targets, and require no token unless an admin token is set." env:"ROLLCALL_DEV"`
	AdminToken       string            `help:"Admin token; better set in the environment or a file, because other users can see flags." env:"ROLLCALL_ADMIN_TOKEN"`
	AdminTokenFile   string            `help:"File with the admin token." env:"ROLLCALL_ADMIN_TOKEN_FILE"`
	OIDCConfig       string            `name:"oidc-config" help:"File with the OIDC issuers whose tokens are accepted." env:"ROLLCALL_OIDC_CONFIG"`
	RateLimit        int               `help:"Requests per second for each token and replica; 0 for no limit." default:"200" env:"ROLLCALL_RATE_LIMIT"`
	QueueLimit       int               `help:"Maximum number of unfinished deployments of a service, over all environments; 0 for no limit." default:"100" env:"ROLLCALL_QUEUE_LIMIT"`
	Retain           string            `help:"How long to keep deployments after they ended, at least 24h, such as 90d; 0 keeps all. The last two successful ones of each service and environment are always kept." default:"0" env:"ROLLCALL_RETAIN"`
	AllowCIDR        []string          `name:"allow-cidr" help:"Network to allow calls to, besides public addresses: for targets, checks, routers, Git and notifications; repeatable." env:"ROLLCALL_ALLOW_CIDR"`
	AllowCommand     map[string]string `help:"Program that command checks may run, as name=path; repeatable." env:"ROLLCALL_ALLOW_COMMAND"`
	AllowSocket      []string          `help:"Unix socket of a router to allow, as an absolute path; repeatable." env:"ROLLCALL_ALLOW_SOCKET"`
	RouterInterval   time.Duration     `help:"How often to read the routers of services without a running deployment, and restore weights that a reload or restart lost; 0 disables this." default:"30s" env:"ROLLCALL_ROUTER_INTERVAL"`
	AllowPort        []uint16          `help:"Port below 1024 to allow calls to, besides 80 and 443; repeatable." env:"ROLLCALL_ALLOW_PORT"`
	SigningSecret    string            `help:"Key to sign webhook calls with: whsec_ and base64. Two keys, separated by a comma, both sign." env:"ROLLCALL_SIGNING_SECRET"`
	SecretKey        string            `help:"Keys to encrypt secrets at rest with, as id:base64 of 32 bytes, the current one first; better set in the environment or a file." env:"ROLLCALL_SECRET_KEY"`
	SecretKeyFile    string            `help:"File with the keys, one a line (default with the private database: secret-key in --state-dir, created at the first start)." env:"ROLLCALL_SECRET_KEY_FILE"`
	RotateSecrets    bool              `help:"Re-encrypt all secrets in the database with the current key, and exit."`
	PublicURL        string            `name:"public-url" help:"URL of this server for links in notifications." env:"ROLLCALL_PUBLIC_URL"`
	Gitops           gitopsFlags       `embed:"" prefix:"gitops-"`
	AllowFileRemotes bool              `help:"Allow Git sources to be file:// repositories on this machine." env:"ROLLCALL_ALLOW_FILE_REMOTES"`
	LogLevel         slog.Level        `help:"Log level: debug, info, warn or error." default:"info" env:"ROLLCALL_LOG_LEVEL"`
	Version          kong.VersionFlag  `help:"Print the version and exit."`

	networks  []netip.Prefix
	providers []auth.Provider
	signing   secret.Secret
	retain    time.Duration // 0: without limit
}

const (
	defaultAddr    = ":8080"
	defaultDevAddr = "127.0.0.1:8080"
	minLease       = time.Second
	// minRouterInterval limits the load on routers.
	minRouterInterval = time.Second
	// minRetain is how long events cannot be deleted: see forget_deployments in the migrations.
	minRetain = 24 * time.Hour
)

// complete sets the defaults that depend on other settings, and rejects invalid settings.
func (c *Config) complete() error {
	if c.Addr == "" {
		c.Addr = defaultAddr
		if c.Dev {
			c.Addr = defaultDevAddr
		}
	}
	if c.Dev && !isLoopback(c.Addr) {
		return fmt.Errorf("--dev serves without authentication and so only on loopback, not on %s", c.Addr)
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
	return errors.Join(c.completeRetain(), c.checkPublicURL(), c.completeAuth(), c.completeStateDir())
}

// checkBounds rejects numbers and durations that are out of range.
func (c *Config) checkBounds() error {
	switch {
	case c.MaxCalls < 0:
		return errors.New("--max-calls must be at least 1, or 0 for the default")
	case c.Lease < minLease:
		return fmt.Errorf("--lease must be at least %s", minLease)
	case c.RouterInterval < 0 || c.RouterInterval > 0 && c.RouterInterval < minRouterInterval:
		return fmt.Errorf("--router-interval must be at least %s, or 0 to disable reading routers between deployments", minRouterInterval)
	default:
		return nil
	}
}

func (c *Config) completeRetain() (err error) {
	if c.retain, err = duration.ParseDays(c.Retain); err != nil {
		return fmt.Errorf("--retain %w", err)
	}
	if c.retain != 0 && c.retain < minRetain {
		return fmt.Errorf("--retain must be at least %s, or 0 to keep all deployments", minRetain)
	}
	return nil
}

// checkPublicURL rejects a URL that links cannot be built from.
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

// completeAuth reads the settings of authentication.
func (c *Config) completeAuth() (err error) {
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
		return errors.New("there is no home folder for the data: set --state-dir or --database-url")
	}
	if err == nil {
		c.StateDir = filepath.Join(home, ".local", "state", "rollcall")
	}
	return nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
