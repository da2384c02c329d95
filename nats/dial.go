package nats

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// dialer gives each server one deadline for all of connecting to it: name
// look-up, TCP, TLS and NATS' handshake. The client alone would allow its
// time-out for several of these in turn, and none for the look-up.
type dialer struct {
	// limit is what one server may take.
	limit atomic.Int64
	// greeted says that a server spoke first, with an INFO in clear.
	greeted atomic.Bool
	// avoid is a server not to connect to, last the one that was connected to.
	avoid, last atomic.Pointer[string]
	// reconnecting is set once there was a connection.
	reconnecting atomic.Pointer[reconnecting]
}

// server is the address that was connected to last.
func (d *dialer) server() string {
	if last := d.last.Load(); last != nil {
		return *last
	}
	return ""
}

// Dial is the client's (nats.CustomDialer).
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	if avoid := d.avoid.Load(); avoid != nil && *avoid == address {
		return nil, errSilent
	}
	again := d.reconnecting.Load()
	if again != nil {
		if err := again.hold(); err != nil {
			return nil, err
		}
	}
	until := time.Now().Add(time.Duration(d.limit.Load()))
	conn, err := (&net.Dialer{Deadline: until}).Dial(network, address)
	if err != nil {
		if again != nil {
			again.failed(err)
		}
		return nil, err
	}
	d.last.Store(&address)
	return &dialled{Conn: conn, dialer: d, until: until, again: again}, nil
}

// dialled is a connection that must be ready by a time.
type dialled struct {
	net.Conn
	dialer *dialer
	until  time.Time
	// again is nil at the first connection, and after a failure was reported.
	again *reconnecting
	// ready says that the client has ended its handshake.
	ready atomic.Bool
	heard bool
	// refused is what the server said with -ERR during the handshake.
	refused atomic.Pointer[string]
}

// SetDeadline is called by the client before its handshake with its own
// deadline, which may be later than ours, and after it with none.
func (c *dialled) SetDeadline(t time.Time) error {
	switch {
	case t.IsZero():
		c.ready.Store(true)
	case !c.ready.Load() && t.After(c.until):
		t = c.until
	}
	return c.Conn.SetDeadline(t)
}

func (c *dialled) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.heard && n > 0 {
		c.heard = true
		if string(b[:min(n, 4)]) == "INFO" {
			c.dialer.greeted.Store(true)
		}
	}
	if !c.ready.Load() {
		c.refused.Store(refusal(b[:n]))
		// A server that says something and hangs up has a reason of its own.
		if err != nil && c.again != nil && (!c.heard || timedOut(err)) {
			c.again.failed(err)
			c.again = nil
		}
	}
	return n, err
}

// Write, during the handshake, may find the connection closed by a server that
// has said why, as one does whose connections are all taken.
func (c *dialled) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil || c.ready.Load() {
		return n, err
	}
	if c.refused.Load() == nil {
		_, _ = c.Read(make([]byte, 4096))
	}
	if words := c.refused.Load(); words != nil {
		err = errors.New(*words)
	}
	return n, err
}

// refusal is what a server says with -ERR, nil when it does not.
func refusal(said []byte) *string {
	_, after, found := strings.Cut(string(said), "-ERR '")
	if !found {
		return nil
	}
	words, _, _ := strings.Cut(after, "'")
	return &words
}
