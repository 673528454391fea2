package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// socketName is how PostgreSQL names its socket in a folder.
const socketName = ".s.PGSQL.5432"

// proxy stands between a server and its database, and counts the statements. It forwards what it reads unchanged.
type proxy struct {
	listener   net.Listener
	database   string
	statements atomic.Int64
}

func startProxy(database, at string) (*proxy, error) {
	listener, err := net.Listen("unix", at) //nolint:noctx // closed by close
	if err != nil {
		return nil, fmt.Errorf("listen before the database: %w", err)
	}
	p := &proxy{listener: listener, database: database}
	go p.accept()
	return p, nil
}

func (p *proxy) close() { _ = p.listener.Close() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.forward(client)
	}
}

func (p *proxy) forward(client net.Conn) {
	defer client.Close()                          //nolint:errcheck // the client has gone
	database, err := net.Dial("unix", p.database) //nolint:noctx // ends with its client
	if err != nil {
		return
	}
	defer database.Close()       //nolint:errcheck // the client has gone
	go io.Copy(client, database) //nolint:errcheck // ends with either
	_ = p.forwardMessages(database, client)
}

// forwardMessages copies the frontend's messages (PostgreSQL's protocol 3.0, "Message Formats") and counts those that execute
// something: the first one has no type, each other one a byte.
func (p *proxy) forwardMessages(to io.Writer, from io.Reader) error {
	if err := forwardMessage(to, from, nil); err != nil {
		return err
	}
	kind := make([]byte, 1)
	for {
		if _, err := io.ReadFull(from, kind); err != nil {
			return fmt.Errorf("read a message: %w", err)
		}
		if kind[0] == 'E' || kind[0] == 'Q' { // Execute, Query
			p.statements.Add(1)
		}
		if err := forwardMessage(to, from, kind); err != nil {
			return err
		}
	}
}

// forwardMessage copies the length and the body of a message whose type was read.
func forwardMessage(to io.Writer, from io.Reader, kind []byte) error {
	const lengthSize = 4
	length := make([]byte, lengthSize)
	if _, err := io.ReadFull(from, length); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	message := append(append(make([]byte, 0, 64), kind...), length...)
	body := make([]byte, binary.BigEndian.Uint32(length)-lengthSize)
	if _, err := io.ReadFull(from, body); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	if _, err := to.Write(append(message, body...)); err != nil {
		return fmt.Errorf("forward a message: %w", err)
	}
	return nil
}
