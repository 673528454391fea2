package egress

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A machine may be gone without a word: nothing that is sent to it is acknowledged. On its address may be another one.
func TestReuse_SilentConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	l := &silencing{t: t}
	var err error
	if l.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { _ = server.Close() })
	c := New(Config{})
	url := "http://" + l.Addr().String()
	for range 2 {
		if got := getWithin(t, c, url, Reuse{During: t.Context()}, 2*time.Second); got != "ok" {
			t.Errorf("got %q", got)
		}
		l.silence()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) != 2 {
		t.Errorf("%d connections", len(l.conns))
	}
}

// silencing is a listener whose connections can be made deaf: the kernel drops what arrives.
type silencing struct {
	net.Listener
	t     *testing.T
	mu    sync.Mutex
	conns []*net.TCPConn
}

func (l *silencing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		l.mu.Lock()
		l.conns = append(l.conns, tcp)
		l.mu.Unlock()
	}
	return conn, err
}

func (l *silencing) silence() {
	l.mu.Lock()
	newest := l.conns[len(l.conns)-1]
	l.mu.Unlock()
	raw, err := newest.SyscallConn()
	if err != nil {
		l.t.Fatal(err)
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	program := unix.SockFprog{Len: 1, Filter: &drop}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	}); err != nil {
		l.t.Fatal(err)
	}
	if err != nil {
		l.t.Skipf("the kernel takes no filter: %v", err)
	}
}
