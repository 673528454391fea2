package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/internal/clock"
)

// Message is one message of a stream: an event if Kind is empty, else a control message.
type Message struct {
	Kind, ID string
	Data     []byte
}

const (
	// aliveWithin is how long a stream may be silent; a server pings more often.
	aliveWithin = 40 * time.Second
	maxLine     = 16 << 20
)

// errEnded means that the server ended the stream for good.
var errEnded = errors.New("the stream has ended")

// Stream passes the messages of a stream to handle, and resumes where it was after a lost connection. It returns nil when
// the server ends the stream for good, and handle's error if there is one; else the errors are those of Do.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, handle func(Message) error) error {
	s := &streaming{client: c, path: path, query: query, handle: handle}
	for {
		err := c.retryUntilDone(ctx, s.readConnection)
		if errors.Is(err, errEnded) {
			return nil
		}
		if _, cut := errors.AsType[*cutError](err); !cut {
			return err
		}
		if !clock.Sleep(ctx, firstBackoff) {
			return ctx.Err()
		}
	}
}

// cutError is a stream that was cut after it had begun: Config.RetryFor counts again from there.
type cutError struct{ err error }

func (c *cutError) Error() string { return c.err.Error() }

type streaming struct {
	client *Client
	path   string
	query  url.Values
	handle func(Message) error
	last   string
}

// readConnection opens a connection and reads it until it ends.
func (s *streaming) readConnection(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := s.client.newRequest(ctx, Request{Method: http.MethodGet, Path: s.path, Query: s.query}, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	if s.last != "" {
		request.Header.Set("Last-Event-ID", s.last)
	}
	response, err := s.client.http.Do(request)
	if err != nil {
		return transportError(err)
	}
	defer func() { _ = response.Body.Close() }() // already read
	switch response.StatusCode {
	case http.StatusNoContent:
		return errEnded
	case http.StatusOK:
		if strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
			return notRollcallError(response)
		}
		s.client.reportOutage(false, nil)
		return s.readMessages(response.Body, cancel)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return transportError(err)
	}
	return checkResponse(response, answer)
}

// readMessages passes on the messages of one connection; it cuts a silent one.
func (s *streaming) readMessages(body io.Reader, cut func()) error {
	alive := time.AfterFunc(aliveWithin, cut)
	defer alive.Stop()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	var m Message
	for lines.Scan() {
		alive.Reset(aliveWithin)
		if len(lines.Bytes()) > 0 {
			parseField(&m, lines.Bytes())
			continue
		}
		if m.ID != "" {
			s.last = m.ID
		}
		if err := s.handleMessage(m); err != nil {
			return err
		}
		m = Message{}
	}
	if err := lines.Err(); err != nil {
		return &cutError{err: fmt.Errorf("the stream was cut: %w", err)}
	}
	return &cutError{err: errors.New("the stream was cut")}
}

func (s *streaming) handleMessage(m Message) error {
	if m.Data == nil {
		return nil
	}
	return s.handle(m)
}

// parseField adds a line to the message, as HTML's "interpreting an event stream" specifies.
func parseField(m *Message, line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		m.Kind = string(value)
	case "id":
		m.ID = string(value)
	case "data":
		m.Data = append([]byte{}, value...)
	}
}
