// Package guard decides which addresses the server may call. Targets, checks and routers are named by users who may
// create a deployment, so without a guard that person could make the server call its own neighbours, its own
// loopback services or the metadata service of its cloud.
//
// The decision falls when the socket connects, after DNS, so a name that answers differently the second time gains
// nothing.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// DialTimeout bounds one dial, name lookup included.
const DialTimeout = 5 * time.Second

// ErrRefused is the cause of every refusal.
var ErrRefused = errors.New("this server may not call that address")

// Options say what is allowed beyond the public internet.
type Options struct {
	// AllowLoopback lets calls go to this machine itself (127.0.0.0/8 and ::1), for development.
	AllowLoopback bool
	// AllowCIDRs are the networks where targets live, such as 10.0.0.0/8. Metadata services stay refused within them.
	AllowCIDRs []netip.Prefix
	// AllowPorts are ports below 1024 that may be called, too. 80, 443 and all from 1024 on may be anyway, and every port
	// of loopback where that is allowed.
	AllowPorts []uint16
}

// Guard refuses connections to addresses that are not allowed. It is safe for concurrent use.
type Guard struct {
	guardian *ssrf.Guardian
	loopback bool
	ports    []uint16
	dialer   net.Dialer
}

// New returns a guard that lets through public addresses and what the options add.
func New(o Options) *Guard {
	v4, v6 := allowedPrefixes(o)
	g := &Guard{loopback: o.AllowLoopback, ports: append([]uint16{80, 443}, o.AllowPorts...), guardian: ssrf.New(
		ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(v4...),
		ssrf.WithAllowedV6Prefixes(v6...),
	)}
	g.dialer = net.Dialer{
		Timeout:  DialTimeout,
		Control:  g.controlDial,
		Resolver: &net.Resolver{PreferGo: true}, // it knows no odd spellings such as 0x7f000001
	}
	return g
}

// DialContext dials as net.Dialer.DialContext does, with the guard in it. Only TCP gets through. A refusal wraps ErrRefused.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return g.dialer.DialContext(ctx, network, address)
}

// Check looks at an address before it is stored, so that its author gets the error: a URL (http or https),
// host:port or host. Names other than those of this machine and of metadata services pass, because what they mean is known only when
// they are dialled.
func (g *Guard) Check(address string) error {
	host, port, err := hostOf(address)
	if err != nil {
		return err
	}
	if err := g.checkPort(host, port); err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.checkIP(ip)
	}
	switch name := strings.TrimSuffix(strings.ToLower(host), "."); {
	case endsInNumber(name):
		return refusalError(host, "it is a number, and not written as an address is: 10.0.0.1")
	case metadataName(name):
		return refusalError(host, "it is a metadata service")
	case thisMachine(host) && !g.loopback:
		return refusalError(host, "it is this machine")
	default:
		return nil
	}
}

func (g *Guard) controlDial(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return refusalError(address, network+" is not TCP")
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return refusalError(address, "it has no IP address")
	}
	if err := g.checkPort(to.Addr().String(), to.Port()); err != nil {
		return err
	}
	return g.checkIP(to.Addr())
}

// firstFreePort is the first that any program may listen on. Below it are services that were not made to be called by
// strangers: mail, remote shells, file shares, directories.
const firstFreePort = 1024

// checkPort judges a port; 0 stands for the usual one of its scheme.
func (g *Guard) checkPort(host string, port uint16) error {
	if port == 0 || port >= firstFreePort || slices.Contains(g.ports, port) || g.loopback && thisMachine(host) {
		return nil
	}
	return refusalError(net.JoinHostPort(host, strconv.Itoa(int(port))), "ports below 1024 other than 80 and 443 need --allow-port")
}

// thisMachine reports whether the host is loopback by its name or address.
func thisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return err == nil && ip.WithZone("").Unmap().IsLoopback() || name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// checkIP judges one address. Zones are dropped and IPv4 in IPv6 is unwrapped first: prefixes match neither.
func (g *Guard) checkIP(ip netip.Addr) error {
	ip = ip.WithZone("").Unmap()
	if metadataAddress(ip) || metadataAddress(embeddedIPv4(ip)) {
		return refusalError(ip.String(), "it is a metadata service")
	}
	if err := g.guardian.SafeAddr(ip); err != nil {
		return refusalError(ip.String(), "it is not public; the operator can allow its network with --allow-cidr")
	}
	return nil
}

func refusalError(address, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrRefused, address, why)
}

func allowedPrefixes(o Options) (v4, v6 []netip.Prefix) {
	if o.AllowLoopback {
		v4 = append(v4, netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8))
		v6 = append(v6, netip.PrefixFrom(netip.IPv6Loopback(), 128))
	}
	for _, p := range o.AllowCIDRs {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return v4, v6
}

// hostOf takes an address apart; a port that is not there is 0.
func hostOf(address string) (host string, port uint16, err error) {
	if !strings.Contains(address, "://") {
		address = bare + "://" + bracketIPv6(address)
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return "", 0, fmt.Errorf("%w: it names no host", ErrRefused)
	}
	if u.Scheme != bare && u.Scheme != "http" && u.Scheme != "https" {
		return "", 0, fmt.Errorf("%w: it is neither http nor https", ErrRefused)
	}
	number, err := strconv.ParseUint(u.Port(), 10, 16)
	if u.Port() != "" && (err != nil || number == 0) {
		return "", 0, fmt.Errorf("%w: its port is not one from 1 to 65535", ErrRefused)
	}
	host, err = asciiHost(u.Hostname())
	return host, uint16(number), err
}

// bare is the scheme of what has none.
const bare = "tcp"

// bracketIPv6 writes a bare IPv6 address as a URL wants it.
func bracketIPv6(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		return "[" + ip.WithZone("").String() + "]"
	}
	return host
}
