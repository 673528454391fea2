package guard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is a real DNS server whose answer for every name can be changed.
type nameServer struct {
	conn    net.PacketConn
	answer  atomic.Pointer[netip.Addr]
	queries atomic.Int32
}

func serveNames(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	t.Cleanup(func() { _ = conn.Close() })
	go s.serve()
	return s
}

func (s *nameServer) serve() {
	packet := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(packet)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Authoritative, m.Additionals = true, true, nil
		if m.Questions[0].Type == dnsmessage.TypeA {
			s.queries.Add(1)
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: s.answer.Load().As4()},
			}}
		}
		if packed, err := m.Pack(); err == nil {
			_, _ = s.conn.WriteTo(packed, from)
		}
	}
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func TestGuard_RejectsRebindingAtDial(t *testing.T) {
	t.Parallel()
	good, bad := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
	private := listen(t) // on 127.0.0.1, which this guard refuses
	_, port, _ := net.SplitHostPort(private.Addr().String())
	open, err := net.Listen("tcp", net.JoinHostPort(good.String(), port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Close() })

	names := serveNames(t)
	g := guard(Options{AllowCIDRs: []netip.Prefix{netip.PrefixFrom(good, 32)}})
	g.dialer.Resolver = names.resolver()
	address := net.JoinHostPort("web-1.rebind.test", port)
	if err := g.Check("http://" + address); err != nil {
		t.Fatalf("the name was refused before anybody knows what it means: %v", err)
	}
	for i, step := range []struct {
		answer  netip.Addr
		allowed bool
	}{{good, true}, {bad, false}, {netip.MustParseAddr("169.254.169.254"), false}, {good, true}} {
		names.answer.Store(&step.answer)
		conn, err := g.DialContext(t.Context(), "tcp", address)
		if step.allowed != (err == nil) || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("step %d, the name means %s: %v", i, step.answer, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	if names.queries.Load() < 4 {
		t.Errorf("%d queries: an answer was kept", names.queries.Load())
	}
	if connected(t, private) {
		t.Error("the refused address got a connection")
	}
}

// connected reports whether there was an unexpected connection: connections come in the order in which they were
// made, so the first must be the test's own.
func connected(t *testing.T, l net.Listener) bool {
	t.Helper()
	mine, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	return first.RemoteAddr().String() != mine.LocalAddr().String()
}

func TestGuard_LowPortsNeedPermission(t *testing.T) {
	t.Parallel()
	strict := guard(Options{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, AllowPorts: []uint16{389}})
	for address, fine := range map[string]bool{
		"http://10.0.0.1": true, "https://10.0.0.1": true, "10.0.0.1:80": true, "10.0.0.1:443": true, "10.0.0.1:1024": true,
		"10.0.0.1:65535": true, "10.0.0.1:389": true, "web-1:389": true,
		"http://10.0.0.1:22/": false, "10.0.0.1:25": false, "http://web-1:1023": false, "https://web-1:0": false,
		"http://web-1:65536": false, "[::ffff:10.0.0.1]:25": false,
	} {
		if err := strict.Check(address); (err == nil) != fine || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("Check(%q) = %v", address, err)
		}
	}
	if err := strict.controlDial("tcp4", "10.0.0.1:25", nil); !errors.Is(err, ErrRefused) {
		t.Errorf("port 25 may be dialled: %v", err)
	}
	if err := guard(Options{AllowLoopback: true}).Check("http://127.0.0.1:1"); err != nil {
		t.Errorf("a low port of loopback, in development: %v", err)
	}
}

func TestGuard_OnlyHTTPIsAScheme(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"ftp://8.8.8.8/", "gopher://8.8.8.8/", "file:///etc/passwd", "javascript://8.8.8.8/"} {
		if err := guard(everything()).Check(address); !errors.Is(err, ErrRefused) {
			t.Errorf("Check(%q) = %v, want a refusal", address, err)
		}
	}
}
