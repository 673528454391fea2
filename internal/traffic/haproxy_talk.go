package traffic

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// maxReply bounds what a router tells: the state of ten thousand servers takes about 1 MiB.
const maxReply = 4 << 20

// talk sends one line of commands over a connection of its own and reads until HAProxy hangs up. Connected is false
// when nothing of the line can have been sent.
func (h haproxy) talk(ctx context.Context, p position, line string) (reply string, connected bool, err error) {
	network, address, err := socketOf(p.traffic().Socket)
	if err != nil {
		return "", false, err
	}
	conn, err := h.out.Dial(ctx, network, address)
	if err != nil {
		return "", false, err
	}
	defer conn.Close()                                                               //nolint:errcheck // what was written has been answered, or the error says so
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // a closed connection needs none
	defer stop()
	if late(ctx) {
		return "", false, context.DeadlineExceeded
	}
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", true, err
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxReply))
	return string(text), true, err
}

// late reports whether the deadline is over, by the clock: after its process was frozen, the context may not know yet,
// and HAProxy has no fence that would keep the write out.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// socketOf reads Traffic.Socket: "unix:" and a path from the root, or host:port.
func socketOf(socket string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(socket, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return "", "", rollout.RouterRefusal("the path of HAProxy's socket does not start with a slash")
		}
		return "unix", path, nil
	}
	if _, port, err := net.SplitHostPort(socket); err != nil || port == "" {
		return "", "", rollout.RouterRefusal(fmt.Sprintf("%q is neither unix:/path nor host:port", outbound.OneLine(socket)))
	}
	return "tcp", socket, nil
}
