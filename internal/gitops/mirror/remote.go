package mirror

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/gitsource"
	"rollcall/internal/secret"
)

// Resolver resolves hosts to addresses that this server may call.
type Resolver interface {
	// Resolve takes 0 for the usual port of a scheme.
	Resolve(ctx context.Context, host string, port uint16) (netip.Addr, error)
}

// remote has what git needs to reach one source's repository.
type remote struct {
	url    string
	env    []string
	config [][2]string
	hide   []string
}

// prepareRemote prepares a call of the source's repository; folder has the keys for as long as the call takes. The host is
// resolved and checked here, and git is made to call just that address: a name that resolves to another one a moment later
// changes nothing.
func prepareRemote(ctx context.Context, s *gitsource.Source, r Resolver, folder string) (remote, error) {
	u, err := url.Parse(s.URL)
	if err != nil || !slices.Contains(allowedSchemes(), u.Scheme) || !strings.HasPrefix(s.URL, u.Scheme+"://") {
		return remote{}, errors.New("the source's url is none that this server fetches from")
	}
	to := remote{url: s.URL, env: []string{"GIT_ALLOW_PROTOCOL=" + u.Scheme}}
	if u.Scheme == "file" {
		return to, to.allowFolder(u, folder)
	}
	if s.Secrets.Unreadable != "" {
		return remote{}, errors.New("the source's secrets cannot be opened: " + s.Secrets.Unreadable)
	}
	port, err := strconv.ParseUint(explicitPort(u), 10, 16)
	if err != nil {
		return remote{}, errors.New("the source's url has no port from 1 to 65535")
	}
	ip, err := r.Resolve(ctx, u.Hostname(), uint16(port))
	if err != nil {
		return remote{}, fmt.Errorf("find the host of the source's url: %w", err)
	}
	if u.Scheme == "ssh" {
		return to, to.configureSSH(s, u, ip, s.Secrets.SSHKey, folder)
	}
	to.configureHTTP(s, u, ip)
	return to, nil
}

// allowFolder lets git read a repository of another user on this machine, which the operator has allowed with file remotes at
// all. Git starts a second process for it that sees no setting but those of files.
func (to *remote) allowFolder(u *url.URL, folder string) error {
	paths := []string{u.Path}
	if plain, err := filepath.EvalSymlinks(u.Path); err == nil && plain != u.Path {
		paths = append(paths, plain)
	}
	var text strings.Builder
	text.WriteString("[safe]\n")
	for _, path := range paths {
		for _, suffix := range []string{"", "/.git", ".git", ".git/.git"} { // as git itself looks for the repository
			text.WriteString("\tdirectory = \"" + configEscaper.Replace(strings.TrimSuffix(path, "/")+suffix) + "\"\n")
		}
	}
	config := filepath.Join(folder, "gitconfig")
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("prepare git: %w", err)
	}
	to.env = append(to.env, "GIT_CONFIG_GLOBAL="+config)
	return nil
}

// configEscaper escapes text within quotes in a file of git's settings.
var configEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// configureHTTP sets the address and the credentials for http and https.
func (to *remote) configureHTTP(s *gitsource.Source, u *url.URL, ip netip.Addr) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address := ip.String()
	if ip.Is6() {
		address = "[" + address + "]"
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		to.config = append(to.config, [2]string{"http.curloptResolve", u.Hostname() + ":" + port + ":" + address})
	}
	if token := s.Secrets.Token; token != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(s.Username + ":" + token.Reveal()))
		to.config = append(to.config, [2]string{"http." + s.URL + ".extraHeader", "Authorization: Basic " + basic})
		to.hide = append(to.hide, token.Reveal(), basic)
	}
}

// configureSSH writes the configuration of ssh into the folder: git passes its command to a shell, so nothing of the source
// is part of it.
func (to *remote) configureSSH(s *gitsource.Source, u *url.URL, ip netip.Addr, key secret.Secret, folder string) error {
	port := u.Port()
	if port == "" {
		port = "22"
	}
	known := filepath.Join(folder, "known_hosts")
	settings := []string{
		"Host *", "HostName " + ip.String(), "HostKeyAlias " + hostKeyName(u.Hostname(), port), "CheckHostIP no",
		"StrictHostKeyChecking yes", "UserKnownHostsFile " + quotePath(known), "GlobalKnownHostsFile " + os.DevNull,
		"UpdateHostKeys no", "BatchMode yes", "IdentitiesOnly yes", "IdentityAgent none", "PreferredAuthentications publickey",
		"ConnectTimeout 10", "ServerAliveInterval 10", "ServerAliveCountMax 3", "ForwardAgent no", "PermitLocalCommand no",
		"ControlMaster no", "LogLevel ERROR",
	}
	files := map[string]string{"known_hosts": s.KnownHosts + "\n"}
	if key != "" {
		files["key"] = strings.TrimRight(key.Reveal(), "\n") + "\n"
		settings = append(settings, "IdentityFile "+quotePath(filepath.Join(folder, "key")))
	}
	files["config"] = strings.Join(settings, "\n") + "\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("prepare ssh: %w", err)
		}
	}
	to.env = append(to.env, "GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND=ssh -F '"+
		strings.ReplaceAll(filepath.Join(folder, "config"), "'", `'\''`)+"'")
	return nil
}

// allowedSchemes returns the only protocols that git may ever use.
func allowedSchemes() []string { return []string{"https", "http", "ssh", "file"} }

// explicitPort returns the port for the resolver: 0 is the usual one of the scheme.
func explicitPort(u *url.URL) string {
	if u.Port() == "" || u.Scheme == "ssh" && u.Port() == "22" {
		return "0"
	}
	return u.Port()
}

// hostKeyName returns the name under which ssh-keyscan and ssh record a host's key.
func hostKeyName(host, port string) string {
	if port == "22" {
		return host
	}
	return "[" + host + "]:" + port
}

// quotePath returns a path for ssh_config, in which "%" begins a token.
func quotePath(path string) string {
	return `"` + strings.ReplaceAll(path, "%", "%%") + `"`
}
