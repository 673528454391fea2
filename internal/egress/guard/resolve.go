package guard

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Resolve returns an address of the host that may be called, for programs that connect by themselves and take an address; 0
// is the usual port of a scheme. The first refusal is the error when no address may be.
func (g *Guard) Resolve(ctx context.Context, host string, port uint16) (netip.Addr, error) {
	if err := g.Check(bracketIPv6(host)); err != nil {
		return netip.Addr{}, err
	}
	host, err := asciiHost(host)
	if err != nil {
		return netip.Addr{}, err
	}
	if err := g.checkPort(host, port); err != nil {
		return netip.Addr{}, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap(), nil // Check has judged it
	}
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	found, err := g.dialer.Resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(host, "."))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("look up %s: %w", host, err)
	}
	var refused error
	for _, ip := range found {
		err := g.checkIP(ip)
		if err == nil {
			return ip.WithZone("").Unmap(), nil
		}
		if refused == nil {
			refused = err
		}
	}
	return netip.Addr{}, refused
}
