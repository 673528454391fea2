package e2e

import (
	"bytes"
	wirebytes "encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// wire is a replica's own way to the database. It understands as much of the protocol as it takes to know a notification
// and a commit when it sees one: a COMMIT, or the Sync that ends a statement which writes deployments in no transaction.
type wire struct {
	url      string
	upstream string
	listener net.Listener

	mu    sync.Mutex
	state wireState
	conns map[*wired]struct{}
	// commits is what happens to the next COMMITs, one each.
	commits []commitFault
	felt    felt
}

// felt counts what a wire did to what went over it.
type felt struct {
	// lost are answers to a COMMIT, muted notifications, swallowed and delayed messages, refused and cut connections.
	lost, muted, swallowed, delayed, refused, cut int
}

// wireState is how a way to the database is.
type wireState struct {
	refuses, silent, deaf bool
	delay                 time.Duration
}

// commitFault strikes one COMMIT: before it is passed on when before is set, else when its answer has come. The answer is
// never passed on. With of it waits for one of a transaction that stores that text.
type commitFault struct {
	before bool
	of     string
	strike func()
}

// wired is one connection through a wire.
type wired struct {
	wire           *wire
	client, server net.Conn
	mu             sync.Mutex
	awaits         *commitFault // of the commit whose answer is awaited
	// statements are the prepared ones by name, writes says that the one under way writes deployments, inside that a transaction
	// was begun, and bound is what was sent to be stored since.
	statements     map[string]bool
	writes, inside bool
	bound          []byte
}

func newWire(t testing.TB, database string) *wire {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{upstream: u.Host, listener: l, conns: map[*wired]struct{}{}}
	u.Host = l.Addr().String()
	w.url = u.String()
	var accepting sync.WaitGroup
	accepting.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.reset()
		accepting.Wait()
	})
	return w
}

func (w *wire) accept() {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		if w.now().refuses {
			w.feel(func(f *felt) { f.refused++ })
			abandon(client)
			continue
		}
		open.Go(func() { w.carry(client) })
	}
}

func (w *wire) carry(client net.Conn) {
	server, err := net.DialTimeout("tcp", w.upstream, 5*time.Second)
	if err != nil {
		abandon(client)
		return
	}
	c := &wired{wire: w, client: client, server: server, statements: map[string]bool{}}
	w.mu.Lock()
	w.conns[c] = struct{}{}
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.pump(client, server, c.forward) })
	both.Go(func() { c.pump(server, client, c.backward) })
	both.Wait()
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

func (w *wire) now() wireState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// become changes how the way is.
func (w *wire) become(change func(*wireState)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.state)
}

// reset cuts all connections.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		w.felt.cut++
		c.cut()
	}
}

// feel counts something.
func (w *wire) feel(what func(*felt)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what(&w.felt)
}

// onCommit has the next COMMIT struck.
func (w *wire) onCommit(f commitFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits = append(w.commits, f)
}

// disarm forgets what was to happen to COMMITs that have not come.
func (w *wire) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits = nil
}

func (w *wire) nextCommit(bound []byte) *commitFault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.commits) == 0 || !bytes.Contains(bound, []byte(w.commits[0].of)) {
		return nil
	}
	f := w.commits[0]
	w.commits = w.commits[1:]
	return &f
}

func (w *wire) counted() felt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.felt
}

var errStruck = errors.New("struck")

func (c *wired) cut() {
	abandon(c.client)
	abandon(c.server)
}

// abandon resets a connection.
func abandon(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is an orderly one, which is an end all the same
	}
	_ = conn.Close()
}

// pump carries message after message until one side is gone.
func (c *wired) pump(from, to net.Conn, pass func(message []byte) error) {
	defer c.cut()
	for first := from == c.client; ; first = false {
		message, err := readMessage(from, first)
		if err != nil {
			return
		}
		state := c.wire.now()
		if state.delay > 0 {
			c.wire.feel(func(f *felt) { f.delayed++ })
			<-time.After(state.delay)
		}
		if state.silent {
			c.wire.feel(func(f *felt) { f.swallowed++ })
			continue // what is sent while the way is silent never comes, as the connection will find out
		}
		if err := pass(message); err != nil {
			return
		}
		_ = to
	}
}

// readMessage reads one message; the first of a client has no kind.
func readMessage(from io.Reader, first bool) ([]byte, error) {
	header := make([]byte, 5)
	if first {
		header = header[:4]
	}
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	size := wirebytes.BigEndian.Uint32(header[len(header)-4:])
	if size < 4 || size > 1<<28 {
		return nil, errors.New("no message of PostgreSQL")
	}
	message := make([]byte, len(header)+int(size)-4)
	copy(message, header)
	_, err := io.ReadFull(from, message[len(header):])
	return message, err
}

// forward passes a message to the server.
func (c *wired) forward(message []byte) error {
	if commits, bound := c.commits(message); commits {
		if f := c.wire.nextCommit(bound); f != nil && f.before {
			f.strike()
			return errStruck
		} else if f != nil {
			c.mu.Lock()
			c.awaits = f
			c.mu.Unlock()
		}
	}
	_, err := c.server.Write(message)
	return err
}

// commits reports whether the database will have committed something when it has answered the message, and what was sent to be
// stored with it.
func (c *wired) commits(message []byte) (commits bool, bound []byte) {
	const query, parse, bind, sync = 'Q', 'P', 'B', 'S'
	c.mu.Lock()
	defer c.mu.Unlock()
	body := message[min(5, len(message)):]
	switch message[0] {
	case query:
		return bytes.EqualFold(bytes.Trim(body, "\x00 ;"), []byte("commit")), c.bound
	case parse:
		name, text, _ := bytes.Cut(body, []byte{0})
		c.statements[string(name)] = writesDeployments(text)
	case bind:
		_, rest, _ := bytes.Cut(body, []byte{0})
		name, _, _ := bytes.Cut(rest, []byte{0})
		c.writes = c.writes || c.statements[string(name)]
		c.bound = append(c.bound, rest...)
	case sync:
		commits, bound = c.writes && !c.inside, c.bound
		c.writes = false
		if !c.inside {
			c.bound = nil
		}
		return commits, bound
	}
	return false, nil
}

func writesDeployments(text []byte) bool {
	text = bytes.ToUpper(text)
	return bytes.Contains(text, []byte("UPDATE DEPLOYMENT")) || bytes.Contains(text, []byte("INSERT INTO DEPLOYMENT"))
}

// backward passes a message to the client.
func (c *wired) backward(message []byte) error {
	const notification, ready = 'A', 'Z'
	c.mu.Lock()
	f := c.awaits
	if message[0] == ready && len(message) > 5 {
		c.inside = message[5] != 'I'
	}
	c.mu.Unlock()
	if f != nil && message[0] != ready {
		return nil // it is part of the answer that is lost
	}
	switch message[0] {
	case notification:
		if c.wire.now().deaf {
			c.wire.feel(func(f *felt) { f.muted++ })
			return nil
		}
	case ready:
		if f != nil {
			c.wire.feel(func(f *felt) { f.lost++ })
			f.strike()
			return errStruck
		}
	}
	_, err := c.client.Write(message)
	return err
}
