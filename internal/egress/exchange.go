package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxHeaderBytes limits the headers of a response, those of its interim responses included.
const maxHeaderBytes = 64 << 10

var (
	errLargeHeader = errors.New("its headers are larger than 64 KiB")
	errBadStatus   = errors.New("its status is below 100")
)

// exchange is one HTTP/1.1 request and its response on a connection. It runs in the caller's goroutine: net/http's Transport
// needs three more for each connection, and may send a request again by itself.
type exchange struct {
	conn   net.Conn
	reader *bufio.Reader
	// headerLeft is how much may still be read before the headers are complete.
	headerLeft int64
	// release ends the watch over the request's context.
	release func() bool
	// keep takes over the connection after a response that allows it; nil if it is not to be kept.
	keep func(net.Conn)
}

var (
	readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriter(nil) }}
)

// exchangeOn sends req on conn and returns the response, whose body closes the connection, or passes it to keep if that is not
// nil. The exchange ends with the request's context.
func exchangeOn(conn net.Conn, req *http.Request, keep func(net.Conn)) (*http.Response, error) {
	x := &exchange{conn: conn, headerLeft: maxHeaderBytes, keep: keep}
	x.release = context.AfterFunc(req.Context(), func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	x.reader, _ = readers.Get().(*bufio.Reader)
	x.reader.Reset(x)
	sent := x.sendRequest(req)
	resp, err := x.readResponse(req) // also after a failed write: it may have been rejected before it was sent whole
	if err != nil {
		x.end(false)
		if sent != nil {
			err = sent
		}
		return nil, err
	}
	resp.Body = newResponseBody(resp, x)
	return resp, nil
}

func (x *exchange) sendRequest(req *http.Request) error {
	w, _ := writers.Get().(*bufio.Writer)
	defer writers.Put(w)
	defer w.Reset(nil)
	w.Reset(x.conn)
	if err := req.Write(w); err != nil {
		return err //nolint:wrapcheck // ErrorText formats it
	}
	return w.Flush() //nolint:wrapcheck // ErrorText formats it
}

// readResponse reads the final response's headers. Interim responses are skipped; 101 is final, since no HTTP follows it.
func (x *exchange) readResponse(req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(x.reader, req)
		if err != nil {
			return nil, err //nolint:wrapcheck // ErrorText formats it
		}
		if resp.StatusCode < http.StatusContinue {
			return nil, errBadStatus
		}
		if resp.StatusCode >= http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols {
			x.headerLeft = math.MaxInt64
			return resp, nil
		}
	}
}

// Read implements io.Reader for the exchange's own reader.
func (x *exchange) Read(p []byte) (int, error) {
	if x.headerLeft <= 0 {
		return 0, errLargeHeader
	}
	n, err := x.conn.Read(p[:min(int64(len(p)), x.headerLeft)])
	x.headerLeft -= int64(n)
	return n, err //nolint:wrapcheck // ErrorText formats it
}

// end closes the connection, or passes it on if the response is complete.
func (x *exchange) end(complete bool) {
	complete = complete && x.reader.Buffered() == 0
	x.reader.Reset(nil)
	readers.Put(x.reader)
	x.reader = nil
	if x.release() && complete && x.keep != nil {
		x.keep(x.conn)
		return
	}
	_ = x.conn.Close() // the response was read as far as it matters
}

// responseBody is the body of a response. Closing it ends the exchange and waits for nothing more: the rest may have no end.
type responseBody struct {
	io.ReadCloser
	of *exchange
	// left is how much of it has not been read; negative if that is unknown. reusable allows another request after it.
	left     int64
	reusable bool
}

func newResponseBody(resp *http.Response, x *exchange) *responseBody {
	b := &responseBody{ReadCloser: resp.Body, of: x, left: resp.ContentLength}
	b.reusable = !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols
	if resp.Body == http.NoBody {
		b.left = 0
	}
	return b
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.of == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if err == io.EOF {
		b.left = 0
	}
	return n, err //nolint:wrapcheck // ErrorText formats it
}

// Close implements io.Closer.
func (b *responseBody) Close() error {
	if b.of == nil {
		return nil
	}
	if b.left > 0 && b.left <= int64(b.of.reader.Buffered()) {
		_, _ = io.CopyN(io.Discard, b, b.left) // it has arrived already
	}
	b.of.end(b.reusable && b.left == 0)
	b.of = nil
	return nil
}

// validateRequest returns why req must not be sent.
func validateRequest(req *http.Request) error {
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return fmt.Errorf("the scheme %q is neither http nor https", req.URL.Scheme)
	}
	if req.URL.Host == "" {
		return errors.New("the address has no host")
	}
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return errors.New("the name of a header is not valid")
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return fmt.Errorf("the value of header %s is not valid", name)
			}
		}
	}
	return nil
}
