// Package proxy is a line between a client and a server that a test can spoil: late, silent, cut off,
// reset at a given moment, or telling nonsense.
package proxy

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Fate is what a line does with what is written on it.
type Fate int

const (
	// Pass hands on.
	Pass Fate = iota
	// Drop swallows it and keeps the line open.
	Drop
	// Reset ends both sides with a TCP reset.
	Reset
	// Garble hands on nonsense in its place.
	Garble
	// HalfClose hands on and then ends what the client hears.
	HalfClose
)

// A Judge says what becomes of a piece that the server or the client wrote.
type Judge func(fromServer bool, piece []byte) Fate

// A Proxy listens on a loopback port of its own and connects to a server.
type Proxy struct {
	Addr   string
	listen net.Listener

	mu     sync.Mutex
	server string
	// lines are those there are; one that is false swallows everything.
	lines    map[net.Conn]bool
	delay    time.Duration
	judge    Judge
	greeting []byte
	refuse   bool
	accepted int
}

// Run starts a proxy for the length of a test.
func Run(t testing.TB, server string) *Proxy {
	t.Helper()
	p, err := Start(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Start starts a proxy to a server, host and port or a NATS URL.
func Start(server string) (*Proxy, error) {
	_, after, found := strings.Cut(server, "://")
	if found {
		server = after
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: listen.Addr().String(), server: server, listen: listen, lines: make(map[net.Conn]bool)}
	go p.serve()
	return p, nil
}

// Close ends it and all lines.
func (p *Proxy) Close() {
	_ = p.listen.Close()
	p.Cut()
}

// URL is the address for clients of NATS.
func (p *Proxy) URL() string { return "nats://" + p.Addr }

// Delay makes each piece late, in both directions.
func (p *Proxy) Delay(by time.Duration) { p.set(func() { p.delay = by }) }

// Judge lets f decide about each piece; nil hands on everything.
func (p *Proxy) Judge(f Judge) { p.set(func() { p.judge = f }) }

// BlackHole swallows everything from now on: lines stay open, new ones are accepted and answer nothing.
func (p *Proxy) BlackHole() { p.Judge(func(bool, []byte) Fate { return Drop }) }

// Swallow makes the lines there are swallow everything, for good; new ones go on.
func (p *Proxy) Swallow() {
	p.set(func() {
		for line := range p.lines {
			p.lines[line] = false
		}
	})
}

// Greet answers new lines with text of our own, and nothing else.
func (p *Proxy) Greet(with string) { p.set(func() { p.greeting = []byte(with) }) }

// Refuse ends new lines as soon as they are accepted.
func (p *Proxy) Refuse(yes bool) { p.set(func() { p.refuse = yes }) }

// Heal hands on everything from now on. A line that lost something stays out of step: cut it.
func (p *Proxy) Heal() {
	p.set(func() { p.delay, p.judge, p.greeting, p.refuse = 0, nil, nil, false })
}

// Cut resets all lines.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range p.lines {
		reset(line)
	}
}

// Turn leads new lines to another server; those there are stay where they lead.
func (p *Proxy) Turn(server string) { p.set(func() { p.server = server }) }

// Accepted counts the lines so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Standing counts the lines that stand now.
func (p *Proxy) Standing() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *Proxy) serve() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		go p.line(client)
	}
}

func (p *Proxy) line(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	p.accepted++
	greeting, refuse, to := p.greeting, p.refuse, p.server
	p.lines[client] = true
	p.mu.Unlock()
	defer p.set(func() { delete(p.lines, client) })
	if refuse {
		reset(client)
		return
	}
	if greeting != nil {
		_, _ = client.Write(greeting)
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { p.carry(client, client, server, false) })
	both.Go(func() { p.carry(client, server, client, true) })
	both.Wait()
}

func (p *Proxy) carry(line, from, to net.Conn, fromServer bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
		p.mu.Lock()
		delay, judge, swallows := p.delay, p.judge, !p.lines[line]
		p.mu.Unlock()
		time.Sleep(delay)
		fate := Pass
		if judge != nil {
			fate = judge(fromServer, bytes.Clone(buffer[:n]))
		}
		if swallows {
			fate = Drop
		}
		switch fate {
		case Drop:
			continue
		case Reset:
			reset(from)
			reset(to)
			return
		}
		piece := buffer[:n]
		if fate == Garble {
			piece = []byte("\x00\xffnonsense\r\n")
		}
		if _, err := to.Write(piece); err != nil {
			_ = from.Close()
			return
		}
		if fate == HalfClose && fromServer {
			_ = to.(*net.TCPConn).CloseWrite()
		}
	}
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
