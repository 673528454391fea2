package guard

import (
	"net/netip"
	"testing"
)

// FuzzCheck: no way of writing an address makes a refused one look allowed.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		"http://127.0.0.1", "http://[::ffff:7f00:1]:80", "[fe80::1%25eth0]:80", "http://0x7f.1", "http://2130706433", "tcp://x", "http://u@127.0.0.1@8.8.8.8/",
		"169.254.169.254:80", "http://LOCALHOST.", "::1", "http://127.0.0.1:80:80", "",
	} {
		f.Add(seed)
	}
	g := guard(Options{})
	f.Fuzz(func(t *testing.T, address string) {
		if g.Check(address) != nil {
			return
		}
		host, port, err := hostOf(address)
		if err != nil {
			t.Fatalf("%q was allowed: %v", address, err)
		}
		if ip, err := netip.ParseAddr(host); err == nil && g.checkIP(ip) != nil {
			t.Fatalf("%q was allowed, %s is not", address, ip)
		}
		if port != 0 && port != 80 && port != 443 && port < firstFreePort {
			t.Fatalf("%q was allowed", address)
		}
	})
}
