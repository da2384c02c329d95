package nats

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// Outage is what the sessions of a server tell each other about the NATS of one
// configuration. Its functions are called from any goroutine and never wait.
type Outage interface {
	// Known is what was told last. try says of an outage that it is the caller's
	// turn to see whether it lasts; nobody else gets a turn before the lease ends;
	// with a lease of 0 nobody does.
	Known(lease time.Duration) (told Told, try bool)
	// Away tells of an outage, and that nobody need try for so long.
	Away(told Told, pause time.Duration)
	// Back tells that somebody has connected.
	Back()
}

// Told is what a session tells the others: no text, since a reader's own settings
// say the rest, and since nothing that other processes write is to be trusted.
type Told uint8

const (
	// Nothing was told, or too long ago.
	Nothing Told = iota
	// Stands: somebody has connected.
	Stands
	TimedOut
	Refused
	Lost
	Failed
)

func (t Told) Error() string {
	const whence = ", as another session found"
	switch t {
	case TimedOut:
		return "timed out" + whence
	case Refused:
		return "connection refused" + whence
	case Lost:
		return "the connection was lost" + whence
	}
	return "no connection" + whence
}

// telling is what others are to be told of err: nothing where it is this
// configuration's or this process' own, which the server answers quickly.
func telling(err error) Told {
	var settings *settingsError
	var heard Told
	switch {
	case err == nil:
		return Stands
	case errors.As(err, &settings), errors.As(err, &heard), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EMFILE):
		return Nothing
	case timedOut(err):
		return TimedOut
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, io.EOF), errors.Is(err, nats.ErrDisconnected), errors.Is(err, syscall.ECONNRESET):
		return Lost
	}
	return Failed
}

// untold is the Outage of a session that shares nothing.
type untold struct{}

func (untold) Known(time.Duration) (Told, bool) { return Nothing, false }
func (untold) Away(Told, time.Duration)         {}
func (untold) Back()                            {}

// tell tells the others how an attempt ended, and answers whether it told them of
// an outage.
func (p *Pool) tell(err error) bool {
	switch told := telling(err); told {
	case Nothing:
		return false
	case Stands:
		p.outage.Back()
		return false
	default:
		p.outage.Away(told, p.pause())
		return true
	}
}

// heard is what the others told. A turn is over when an attempt has surely ended, also
// that of a session which was terminated meanwhile.
func (p *Pool) heard() (Told, bool) {
	return p.outage.Known(2*p.config.ConnectionTimeout + p.config.ReconnectDelay)
}

// absent is for a pool without a connection: why none can be had now, where that
// is known from this session or another without waiting, else nil. When it is
// time for it an attempt is begun, for later callers. The lock is held.
func (p *Pool) absent() error {
	if p.attempt != nil {
		return p.failure
	}
	told, try := p.heard()
	switch {
	case told == Stands && p.told:
		p.failure = nil
	case told > Stands:
		if p.failure == nil || !p.told {
			p.failure, p.told = told, true
		}
		if try {
			p.knock()
		}
		return p.failure
	}
	if p.failure != nil && !time.Now().Before(p.retryAt) {
		p.knock()
	}
	return p.failure
}

// knock begins an attempt unless one is under way. The lock is held.
func (p *Pool) knock() {
	if p.attempt == nil {
		p.attempt = make(chan struct{})
		go guard(func() { p.connect("") })
	}
}

// reconnecting is for a client that lost its connection and looks for it by
// itself: those of all sessions do so in turn.
type reconnecting struct {
	pool *Pool
	// failures counts the servers that failed since one answered or the others
	// were told.
	failures atomic.Int32
	// held says that an attempt was left to another session.
	held atomic.Bool
	// insisted lets one attempt pass whatever the others say.
	insisted atomic.Bool
}

// hold answers why the client should not try now.
func (r *reconnecting) hold() error {
	if r.insisted.Swap(false) {
		return nil
	}
	if told, try := r.pool.heard(); told > Stands && !try {
		r.held.Store(true)
		return told
	}
	return nil
}

// failed is called when a server could not be connected to. The others are told
// when none of those in the configuration could.
func (r *reconnecting) failed(err error) {
	if int(r.failures.Add(1)) >= len(r.pool.config.URLs) {
		r.failures.Store(0)
		r.pool.tell(err)
	}
}

func (r *reconnecting) succeeded() {
	r.failures.Store(0)
	r.pool.tell(nil)
}

// released tells whether an attempt was left to another session which has
// connected by now, once.
func (r *reconnecting) released() bool {
	if !r.held.Load() {
		return false
	}
	told, _ := r.pool.outage.Known(0)
	return told == Stands && r.held.Swap(false)
}
