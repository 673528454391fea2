package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/routing"
)

// ErrForbidden is wrapped by the errors of Config.Dial that will come as often as it dials: the operator of this server did
// not allow the address.
var ErrForbidden = errors.New("this server may not call that router")

const (
	// maxReply bounds what a router reports over HTTP.
	maxReply = 4 << 20
	// maxTables bounds what HAProxy reports: the state of ten thousand servers takes about 5 MiB.
	maxTables = 16 << 20
)

// partError is a conversation that broke off after a part of the answer.
type partError struct {
	err  error
	part string
}

func (e partError) Error() string { return e.err.Error() }
func (e partError) Unwrap() error { return e.err }

// placeError is an error at one of several places.
type placeError struct {
	err   error
	place place
}

func (e placeError) Error() string { return e.err.Error() }
func (e placeError) Unwrap() error { return e.err }

// errorContext returns what an error adds to its cause: how far an answer came, and where it was.
func errorContext(err error) string {
	text := ""
	if e, ok := errors.AsType[partError](err); ok && e.part != "" {
		text += fmt.Sprintf("; it had answered %q", e.part)
	}
	if e, ok := errors.AsType[placeError](err); ok {
		text += " (" + e.place.String() + ")"
	}
	return text
}

// runCommands sends one line of commands over a connection of its own and reads until HAProxy hangs up. Connected is false
// when nothing of the line can have been sent.
func (h haproxy) runCommands(ctx context.Context, socket, line string) (reply string, connected bool, err error) {
	network, address, err := socketOf(socket)
	if err != nil {
		return "", false, err
	}
	conn, err := h.out.Dial(ctx, network, address)
	if errors.Is(err, ErrForbidden) {
		return "", false, routing.Refusal(egress.Sanitize(err.Error()))
	}
	if err != nil {
		return "", false, err
	}
	defer conn.Close()                                                               //nolint:errcheck // what was written has been answered, or the error says so
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // a closed connection needs none
	defer stop()
	if deadlinePassed(ctx) {
		return "", false, context.DeadlineExceeded
	}
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", true, err
	}
	reply, err = readReply(conn, socket)
	if err != nil {
		err = partError{err, egress.Sanitize(reply)}
	}
	return reply, true, err
}

// readReply reads an answer to its end. HAProxy's master process never ends one, and knows none of the commands of a worker.
func readReply(conn io.Reader, socket string) (string, error) {
	var text strings.Builder
	buffer := make([]byte, 32<<10)
	for text.Len() < maxTables {
		n, err := conn.Read(buffer)
		text.Write(buffer[:n])
		if strings.HasPrefix(text.String(), "Unknown command") && strings.Contains(text.String(), "show proc") {
			return "", routing.Refusal(fmt.Sprintf(
				"%s is the socket of HAProxy's master process, which has no servers: name the one of \"stats socket\" (it says: %s)",
				socket, egress.Sanitize(text.String())))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return text.String(), err
		}
	}
	return text.String(), nil
}

// deadlinePassed reports whether the deadline is over, by the clock: after its process was frozen, the context may not know yet,
// and HAProxy has no fence that would keep the write out.
func deadlinePassed(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// socketOf reads Traffic.Socket: "unix:" and a path from the root, or host:port.
func socketOf(socket string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(socket, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return "", "", routing.Refusal("the path of HAProxy's socket does not start with a slash")
		}
		return "unix", path, nil
	}
	if _, port, err := net.SplitHostPort(socket); err != nil || port == "" {
		return "", "", routing.Refusal(fmt.Sprintf("%q is neither unix:/path nor host:port", egress.Sanitize(socket)))
	}
	return "tcp", socket, nil
}
