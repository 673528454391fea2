// Command reaper is the stand-in for testcontainers' Ryuk, used where its image can neither be found nor pulled. Clients connect
// and send filters of labels, one line each; when no client has been connected for a while, it removes the containers, networks and
// volumes that match any of them, and exits.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const (
	address         = ":8080"
	socket          = "/var/run/docker.sock"
	connectTimeout  = time.Minute      // until the first client
	reconnectPeriod = 10 * time.Second // after the last one
	requestTimeout  = time.Minute
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "reaper:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	r := &reaper{filters: map[string]url.Values{}, changed: make(chan int)}
	go r.accept(listener)
	fmt.Fprintln(os.Stderr, "Started: a stand-in, not Ryuk") // clients wait for the first word
	r.awaitAbandoned()
	return r.removeAll(ctx)
}

type reaper struct {
	mu      sync.Mutex
	filters map[string]url.Values
	changed chan int // +1 for a client that comes, -1 for one that goes
}

// awaitAbandoned returns when no client is connected and none comes back.
func (r *reaper) awaitAbandoned() {
	clients := 0
	deadline := time.NewTimer(connectTimeout)
	for {
		select {
		case change := <-r.changed:
			if clients += change; clients > 0 {
				deadline.Stop()
			} else {
				deadline.Reset(reconnectPeriod)
			}
		case <-deadline.C:
			return
		}
	}
}

func (r *reaper) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go r.serveClient(conn)
	}
}

func (r *reaper) serveClient(conn net.Conn) {
	r.changed <- 1
	defer func() {
		_ = conn.Close()
		r.changed <- -1
	}()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		filter, err := url.ParseQuery(lines.Text())
		if err != nil || len(filter) == 0 {
			continue // a probe of the port
		}
		r.mu.Lock()
		r.filters[lines.Text()] = filter
		r.mu.Unlock()
		if _, err := io.WriteString(conn, "ACK\n"); err != nil {
			return
		}
	}
}

// resource is a kind of thing that the engine lists and removes.
type resource struct {
	path, options string
	// list is the field with the items, "" when the answer is the list; id is the field that names an item.
	list, id string
}

// removeAll removes what matches a filter; containers first, because they use the others.
func (r *reaper) removeAll(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := engine{&http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
	var errs []error
	for _, filter := range r.filters {
		for _, kind := range []resource{
			{"/containers", "?force=1&v=1", "", "Id"}, {"/networks", "", "", "Id"}, {"/volumes", "?force=1", "Volumes", "Name"},
		} {
			errs = append(errs, e.removeMatching(ctx, kind, filter))
		}
	}
	return errors.Join(errs...)
}

type engine struct{ client *http.Client }

func (e engine) removeMatching(ctx context.Context, kind resource, filter url.Values) error {
	encoded, err := json.Marshal(filter)
	if err != nil {
		return fmt.Errorf("write a filter: %w", err)
	}
	path := kind.path
	if kind.path == "/containers" {
		path += "/json"
	}
	answer, err := e.request(ctx, http.MethodGet, path+"?all=1&filters="+url.QueryEscape(string(encoded)))
	if err != nil {
		return err
	}
	items, err := parseItems(answer, kind.list)
	if err != nil {
		return fmt.Errorf("read %s: %w", kind.path, err)
	}
	var errs []error
	for _, item := range items {
		name, _ := item[kind.id].(string)
		_, err := e.request(ctx, http.MethodDelete, kind.path+"/"+url.PathEscape(name)+kind.options)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// parseItems decodes a list, or that in a field.
func parseItems(answer []byte, field string) (items []map[string]any, err error) {
	if field != "" {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(answer, &fields); err != nil {
			return nil, err //nolint:wrapcheck // the caller says what was read
		}
		answer = fields[field]
	}
	err = json.Unmarshal(answer, &items)
	return items, err //nolint:wrapcheck // the caller says what was read
}

// request asks the engine; what is gone already is no error.
func (e engine) request(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	res, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the engine: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode >= http.StatusBadRequest && res.StatusCode != http.StatusNotFound {
		return nil, fmt.Errorf("%s %s answers %s: %s", method, path, res.Status, answer)
	}
	return answer, nil
}
