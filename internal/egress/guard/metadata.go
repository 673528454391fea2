package guard

import (
	"net/netip"
	"slices"
)

// metadataAddress reports whether ip is a service that hands out the credentials of the machine that asks. No option
// allows them.
func metadataAddress(ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	return slices.Contains([]string{
		"169.254.169.254", // AWS, Google, Azure, OpenStack, DigitalOcean and others
		"169.254.170.2",   // AWS: credentials of ECS tasks
		"169.254.170.23",  // AWS: credentials of EKS pods
		"169.254.0.23",    // Tencent
		"100.100.100.200", // Alibaba
		"168.63.129.16",   // Azure: the host's own agent
		"192.0.0.192",     // Oracle
		"fd00:ec2::254",   // AWS
		"fd00:ec2::23",    // AWS: credentials of EKS pods
		"fd20:ce::254",    // Google
		"fe80::a9fe:a9fe", // OpenStack
		"fd00:42::42",     // Scaleway
		"169.254.42.42",   // Scaleway
	}, ip.String())
}

func metadataName(host string) bool {
	return slices.Contains([]string{"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"}, host)
}

// embeddedIPv4 returns the IPv4 address that an IPv6 address stands for through a translator (NAT64, RFC 6052, and 6to4,
// RFC 3056) or as an IPv4-compatible address (RFC 4291), else the zero Addr.
func embeddedIPv4(ip netip.Addr) netip.Addr {
	if !ip.Is6() {
		return netip.Addr{}
	}
	b := ip.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip), netip.MustParsePrefix("::/96").Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	default:
		return netip.Addr{}
	}
}
