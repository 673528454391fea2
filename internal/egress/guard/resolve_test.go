package guard

import (
	"errors"
	"net/netip"
	"testing"
)

func TestGuard_ResolveChecksLikeDial(t *testing.T) {
	t.Parallel()
	strict, loose := New(Options{}), New(Options{AllowLoopback: true})
	for host, port := range map[string]uint16{
		"127.0.0.1": 0, "::1": 0, "localhost": 0, "169.254.169.254": 0, "metadata.google.internal": 0, "10.0.0.1": 0, "8.8.8.8": 25,
	} {
		if ip, err := strict.Resolve(t.Context(), host, port); !errors.Is(err, ErrRefused) {
			t.Errorf("%s:%d is %s, %v", host, port, ip, err)
		}
	}
	for host, want := range map[string]string{"127.0.0.1": "127.0.0.1", "::ffff:127.0.0.1": "127.0.0.1", "8.8.8.8": "8.8.8.8"} {
		if ip, err := loose.Resolve(t.Context(), host, 443); err != nil || ip != netip.MustParseAddr(want) {
			t.Errorf("%s is %s, %v", host, ip, err)
		}
	}
	if ip, err := loose.Resolve(t.Context(), "localhost", 0); err != nil || !ip.IsLoopback() {
		t.Errorf("localhost is %s, %v", ip, err)
	}
	if ip, err := strict.Resolve(t.Context(), "localhost", 0); !errors.Is(err, ErrRefused) {
		t.Errorf("localhost is %s, %v", ip, err)
	}
}
