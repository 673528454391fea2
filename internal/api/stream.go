package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/clock"
	"rollcall/internal/feed"
)

const (
	// pingInterval is how often an idle stream sends a comment, so that the reader sees that it is alive.
	pingInterval = 15 * time.Second
	// reauthorizeInterval is how often a stream checks that its reader is still authorized.
	reauthorizeInterval = 10 * time.Second
	// writeTimeout is how long a write to a slow reader may take.
	writeTimeout = 10 * time.Second
	// retryDelay is the wait after a failed read of the events that a slow reader missed.
	retryDelay = time.Second
	// reconnectAfter is what an EventSource waits before it connects again.
	reconnectAfter = time.Second
)

// stream is a response that continues while there are events and a reader.
type stream struct {
	ctx      context.Context //nolint:containedctx // the generated code hands an answer no context of its request
	watcher  *feed.Subscription
	position string // the id to resume after until there is a first event; empty for none
}

// VisitListEventsResponse writes the stream of one deployment.
func (s *stream) VisitListEventsResponse(w http.ResponseWriter) error { return s.writeStream(w) }

// VisitWatchEventsResponse writes the stream of all deployments.
func (s *stream) VisitWatchEventsResponse(w http.ResponseWriter) error { return s.writeStream(w) }

func (s *stream) writeStream(w http.ResponseWriter) error {
	defer s.watcher.Close()
	h := w.Header()
	h.Set("Content-Type", httpkit.EventStream)
	h.Set("X-Accel-Buffering", "no") // nginx would keep events until it has a page of them
	w.WriteHeader(http.StatusOK)
	if isHead(s.ctx) {
		return nil
	}
	out := &sender{w: w, control: http.NewResponseController(w)}
	if out.sendText(s.firstMessage()) {
		s.relayFrames(out)
	}
	return nil
}

// firstMessage returns the message with the reconnection time and the position, for a reader that is cut off before the
// first event.
func (s *stream) firstMessage() []byte {
	text := fmt.Appendf(nil, "retry: %d\n", reconnectAfter.Milliseconds())
	if s.position != "" {
		text = fmt.Appendf(text, "id: %s\n", s.position)
	}
	return append(text, '\n')
}

// relayFrames sends frames until the feed ends, the reader disconnects, or the server stops.
func (s *stream) relayFrames(out *sender) {
	doubtAt := time.Now().Add(reauthorizeInterval)
	for {
		frames, err := s.waitForFrames()
		if time.Now().After(doubtAt) {
			if !isStillAuthorized(s.ctx) && s.ctx.Err() == nil {
				out.sendText(endMessage("credential expired or revoked"))
				return
			}
			doubtAt = time.Now().Add(reauthorizeInterval)
		}
		switch {
		case err == nil:
			if !out.sendFrames(frames) {
				return
			}
		case errors.Is(err, io.EOF):
			out.sendText(endMessage("deployment finished"))
			return
		case s.ctx.Err() != nil:
			out.sendText(endMessage("server shutting down"))
			return
		default:
			if !errors.Is(err, context.DeadlineExceeded) {
				clock.Sleep(s.ctx, retryDelay)
			}
			if !out.sendText([]byte(": ping\n\n")) {
				return
			}
		}
	}
}

// waitForFrames waits for frames, for at most pingInterval.
func (s *stream) waitForFrames() ([]*feed.Frame, error) {
	ctx, cancel := context.WithTimeout(s.ctx, pingInterval)
	defer cancel()
	return s.watcher.Next(ctx)
}

func endMessage(reason string) []byte {
	return fmt.Appendf(nil, "event: end\ndata: {\"reason\":%q}\n\n", reason)
}

// sender writes to a reader that may have stopped reading.
type sender struct {
	w       io.Writer
	control *http.ResponseController
}

// sendFrames sends frames in small pieces, so that a slow reader holds up little.
func (s *sender) sendFrames(frames []*feed.Frame) bool {
	const piece = 16 << 10
	var b bytes.Buffer
	for i, f := range frames {
		writeFrame(&b, f)
		if b.Len() < piece && i < len(frames)-1 {
			continue
		}
		if !s.sendText(b.Bytes()) {
			return false
		}
		b.Reset()
	}
	return true
}

// writeFrame writes a frame as a message. A reader that reconnects after a reset begins where the stream did.
func writeFrame(b *bytes.Buffer, f *feed.Frame) {
	switch {
	case f.Reset:
		fmt.Fprintf(b, "event: reset\nid: %d\ndata: {\"reason\":%q}\n\n", f.ID, resetReason)
		return
	case f.ID > 0:
		fmt.Fprintf(b, "id: %d\n", f.ID)
	default:
		b.WriteString("event: deployment\n")
	}
	fmt.Fprintf(b, "data: %s\n\n", f.Data)
}

const resetReason = "the database lost events that were sent; reload"

// sendText writes text and reports whether the reader accepted it in time.
func (s *sender) sendText(text []byte) bool {
	if s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
		return false
	}
	if _, err := s.w.Write(text); err != nil {
		return false
	}
	return s.control.Flush() == nil
}

// maxStreams bounds the streams and waits that one principal has at one server: a limit on the rate of requests does not
// limit how many long ones there are. Nothing else is bounded by it: a principal with too many dashboards can still abort.
const maxStreams = 1000

// isLongLived reports whether a request is a stream or a wait.
func isLongLived(r *http.Request) bool {
	return httpkit.WantsStream(r.Context()) || r.URL.Query().Has("wait")
}

// limitStreams rejects streams and long polls above the limit per principal.
func (s *server) limitStreams(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLongLived(r) {
			next.ServeHTTP(w, r)
			return
		}
		leave, err := s.streams.Acquire(principalName(r.Context()))
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}
