package nats

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// link is one connection with what is in flight on it.
//
// It keeps for itself whether the connection stands: the client holds the lock
// of its connection while it dials and while it writes, and asking it would
// take as long.
type link struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	dialer *dialer
	flight flight
	asking asking
	// standing says that the client is connected, over that it has given up.
	standing, over atomic.Bool
	// since is when the connection was made, in ns since 1970.
	since atomic.Int64
	// doubted says that an ack did not come and no PONG since.
	doubted    atomic.Bool
	maxPayload atomic.Int64

	mu sync.Mutex
	// trouble is the last that was heard of why the connection does not stand.
	trouble error
	// deaf is why the account cannot hear acks, nil when it can.
	deaf error
}

// newLink is a link whose connection is about to be made: of one that fails at
// first the handlers hear nothing.
func newLink(d *dialer) *link {
	l := &link{dialer: d}
	l.standing.Store(true)
	l.since.Store(time.Now().UnixNano())
	return l
}

// ready tells whether a message can be sent now.
func (l *link) ready() bool { return l.standing.Load() && !l.doubted.Load() }

// pause is what the client leaves before a round of attempts. The first comes soon: what cut the connection off, a
// server's restart perhaps, may be over. Not where it had not stood for long, since a server can also end each at once.
// No two sessions try in the same moment.
func (l *link) pause(delay time.Duration, round int) time.Duration {
	spread := time.Duration(rand.Int64N(int64(delay / 4)))
	if round == 1 && time.Since(time.Unix(0, l.since.Load())) >= delay {
		return spread
	}
	return delay + spread
}

// hurry makes the client try now instead of after its delay.
func (l *link) hurry() {
	if l.standing.Load() {
		return
	}
	// It waits for the client's lock, and by then the client may have done it.
	go guard(func() {
		if !l.conn.IsConnected() {
			_ = l.conn.ForceReconnect()
		}
	})
}

var errSilent = errors.New("the server does not answer")

// why is the reason for not being ready.
func (l *link) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.standing.Load():
		return errSilent
	case l.trouble != nil:
		return l.trouble
	}
	return nats.ErrDisconnected
}

// The client's handlers. They must not panic: nobody above them recovers. They
// are called in the order of what happened, and none is left out, as happens to
// one who listens to StatusChanged and is slow.

func (l *link) onDisconnect(_ *nats.Conn, err error) {
	guard(func() {
		l.standing.Store(false)
		// Another server, or the same with other permissions, may let us hear.
		l.mu.Lock()
		l.deaf = nil
		l.mu.Unlock()
		l.note(err)
	})
}

func (l *link) onReconnect(conn *nats.Conn) {
	guard(func() {
		// Waits until the client has ended its reconnect.
		l.maxPayload.Store(conn.MaxPayload())
		l.mu.Lock()
		l.trouble = nil
		l.mu.Unlock()
		l.doubted.Store(false)
		l.since.Store(time.Now().UnixNano())
		l.standing.Store(true)
		if r := l.dialer.reconnecting.Load(); r != nil {
			r.succeeded()
		}
	})
}

func (l *link) onClosed(*nats.Conn) {
	guard(func() {
		l.standing.Store(false)
		l.over.Store(true)
	})
}

func (l *link) onReconnectError(_ *nats.Conn, err error) { guard(func() { l.note(err) }) }

func (l *link) note(err error) {
	if err == nil || l.standing.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = err
}

// onError hears what the server says beside its answers. A publish that it
// denies is never answered.
func (l *link) onError(_ *nats.Conn, _ *nats.Subscription, err error) {
	guard(func() {
		denied := denial(err)
		if denied == nil {
			l.note(err)
			return
		}
		if denied.publish {
			l.flight.denied(denied)
			l.asking.denied(denied)
			return
		}
		l.mu.Lock()
		l.deaf = denied
		l.mu.Unlock()
		l.flight.deaf(denied)
		l.asking.denied(denied)
	})
}

// hears is an error when the account cannot hear acks.
func (l *link) hears() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deaf
}

// deniedError is what the server's account may not do.
type deniedError struct {
	publish bool
	subject string
}

func (e *deniedError) Error() string {
	if e.publish {
		return "permission denied: the account may not publish to " + quoted(e.subject)
	}
	return "permission denied: the account may not subscribe to " + quoted(e.subject)
}

func quoted(s string) string { return `"` + s + `"` }

// denial reads the server's words (nats-server, server/client.go,
// pubPermissionViolation and subPermissionViolation), nil when they say
// something else.
func denial(err error) *deniedError {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	what, rest, ok := strings.Cut(err.Error(), ` to "`)
	if !ok {
		return nil
	}
	subject, _, _ := strings.Cut(rest, `"`)
	return &deniedError{publish: strings.HasSuffix(what, "Publish"), subject: subject}
}
