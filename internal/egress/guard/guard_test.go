package guard

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func guard(o Options) *Guard { return New(o) }

func everything() Options {
	return Options{AllowLoopback: true, AllowCIDRs: []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
	}}
}

func TestGuard_AllowsOnlyPublicByDefault(t *testing.T) {
	t.Parallel()
	g := guard(Options{})
	for _, address := range []string{
		"http://10.0.0.1:8080", "http://192.168.1.1/x", "172.16.0.1:80", "127.0.0.1:80", "http://[::1]:80/", "::1",
		"http://localhost:8080", "http://api.localhost.", "http://0.0.0.0", "[fd00::1]:80", "[fe80::1]:80",
		"[fe80::1%25eth0]:80", "http://169.254.169.254/latest", "[::ffff:127.0.0.1]:80", "[64:ff9b::7f00:1]:80",
		"100.64.0.1", "224.0.0.1", "http://metadata.google.internal/", "http://",
	} {
		if err := g.Check(address); !errors.Is(err, ErrRefused) {
			t.Errorf("Check(%q) = %v, want a refusal", address, err)
		}
	}
	for _, address := range []string{"http://8.8.8.8", "https://example.com/x", "[2606:4700::1111]:443", "web-1:8080"} {
		if err := g.Check(address); err != nil {
			t.Errorf("Check(%q) = %v, want nil", address, err)
		}
	}
}

// Programs read such a host as the address of a machine, and not each program as the same one.
func TestGuard_RejectsOddNumericAddresses(t *testing.T) {
	t.Parallel()
	g := guard(everything())
	for _, host := range []string{
		"0x7f.1", "0x7f000001", "0X7F.0.0.1", "0177.0.0.1", "017700000001", "2130706433", "127.1", "127.0.0.1.", "10.0.0.1.", "1.2.3.256",
		"169.254.169.254.", "0xa9fea9fe", "web.0x", "web.7", "127\u30020\u30020\u30021.", "\u2460\u2461\u2466.1",
	} {
		for _, address := range []string{"http://" + host + "/x", "https://" + host + ":8443", host + ":8080", host} {
			if err := g.Check(address); !errors.Is(err, ErrRefused) {
				t.Errorf("Check(%q) = %v, want a refusal", address, err)
			}
		}
		if ip, err := g.Resolve(t.Context(), host, 0); !errors.Is(err, ErrRefused) {
			t.Errorf("%q is looked up: %s, %v", host, ip, err)
		}
	}
	for _, host := range []string{"web-1", "1.web", "0x7f.example.com", "7.example.com.", "b\u00fccher.example"} {
		if err := g.Check("http://" + host + ":8080"); err != nil {
			t.Errorf("Check(%q) = %v, want nil", host, err)
		}
	}
}

// A client writes such a name in ASCII before it asks for it.
func TestGuard_ChecksInternationalNamesAsResolved(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"http://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54:8080", "http://\uff11\uff12\uff17.0.0.1:8080", "http://127\u30020\u30020\u30021:8080",
		"http://metadata\u3002google\u3002internal/", "http://\u24dbocalhost/", "http://x\u0000y/", "http://\u200d\u202e.example/",
	} {
		if err := guard(Options{}).Check(address); !errors.Is(err, ErrRefused) {
			t.Errorf("Check(%q) = %v, want a refusal", address, err)
		}
	}
}

func TestGuard_AllowsConfiguredNetworks(t *testing.T) {
	t.Parallel()
	g := guard(Options{AllowCIDRs: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd12::/16"),
	}})
	for _, address := range []string{"10.1.2.3:80", "http://[::ffff:10.1.2.3]:80", "[fd12::1]:80"} {
		if err := g.Check(address); err != nil {
			t.Errorf("Check(%q) = %v, want nil", address, err)
		}
	}
	for _, address := range []string{"192.168.0.1:80", "127.0.0.1:80", "[fd13::1]:80"} {
		if err := g.Check(address); !errors.Is(err, ErrRefused) {
			t.Errorf("Check(%q) = %v, want a refusal", address, err)
		}
	}
}

func TestGuard_NeverAllowsMetadataServices(t *testing.T) {
	t.Parallel()
	g := guard(everything())
	for _, address := range []string{
		"169.254.169.254:80", "http://169.254.170.2/", "100.100.100.200", "[fd00:ec2::254]:80", "168.63.129.16",
		"[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80", "[2002:a9fe:a9fe::1]:80", "[::a9fe:a9fe]:80",
		"[fe80::a9fe:a9fe%25eth0]:80", "http://Metadata.Google.Internal./x",
	} {
		if err := g.Check(address); !errors.Is(err, ErrRefused) {
			t.Errorf("Check(%q) = %v, want a refusal", address, err)
		}
		if strings.Contains(address, "oogle") || strings.Contains(address, "://") {
			continue
		}
		to := address
		if !strings.Contains(to, ":") {
			to += ":80"
		}
		if err := g.controlDial("tcp4", strings.Replace(to, "%25", "%", 1), nil); !errors.Is(err, ErrRefused) {
			t.Errorf("dialling %q = %v, want a refusal", to, err)
		}
	}
}

func TestGuard_RefusesBeforeConnect(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	for _, name := range []string{"127.0.0.1", "localhost"} {
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		_, err := guard(Options{}).DialContext(t.Context(), "tcp", net.JoinHostPort(name, port))
		if !errors.Is(err, ErrRefused) {
			t.Errorf("dialling %s: %v, want a refusal", name, err)
		}
	}
	if _, err := guard(everything()).DialContext(t.Context(), "udp", listener.Addr().String()); !errors.Is(err, ErrRefused) {
		t.Errorf("dialling UDP: %v, want a refusal", err)
	}
}

func TestGuard_LoopbackIsOpenWhenAllowed(t *testing.T) {
	t.Parallel()
	g := guard(Options{AllowLoopback: true})
	conn, err := g.DialContext(t.Context(), "tcp", listen(t).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := g.Check("http://localhost:1"); err != nil {
		t.Error(err)
	}
	if err := g.Check("http://10.0.0.1:1"); !errors.Is(err, ErrRefused) {
		t.Errorf("loopback opened a private network: %v", err)
	}
}

func TestGuard_RefusalHidesCredentials(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://u:hunter2@10.0.0.1/", "http://u:hunter2@/", "http://u:hunter2@[bad/"} {
		if err := guard(Options{}).Check(address); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Check(%q) = %v", address, err)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
