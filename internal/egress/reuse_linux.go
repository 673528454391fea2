package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// prepareReuse reports whether a kept connection may carry another request: the other side has neither closed it nor sent
// anything. Data that is not acknowledged within half the request's time shows that the other side is gone; the other half is
// for a new connection.
func prepareReuse(ctx context.Context, conn net.Conn) bool {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	deadline, bounded := ctx.Deadline()
	tcp, ok := conn.(syscall.Conn)
	if !ok || !bounded {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		half := max(int(time.Until(deadline)/2/time.Millisecond), 1)
		quiet = errors.Is(err, unix.EAGAIN) && unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, half) == nil
	})
	return err == nil && quiet
}
