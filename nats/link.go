package nats

import (
	"context"
	"errors"
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
	flight flight
	asking asking
	// standing says that the client is connected, over that it has given up.
	standing, over atomic.Bool
	// doubted says that an ack did not come and no PONG since.
	doubted    atomic.Bool
	maxPayload atomic.Int64

	mu sync.Mutex
	// trouble is the last that was heard of why the connection does not stand.
	trouble error
	// deaf is why the account cannot hear acks, nil when it can.
	deaf error
}

// watch follows the client's state from here on.
func (l *link) watch() {
	changes := l.conn.StatusChanged()
	l.maxPayload.Store(l.conn.MaxPayload())
	l.standing.Store(l.conn.IsConnected())
	l.over.Store(l.conn.IsClosed())
	go guard(func() {
		for !l.over.Load() {
			l.changed(<-changes)
		}
	})
}

func (l *link) changed(to nats.Status) {
	switch to {
	case nats.CONNECTED:
		// Waits until the client has ended its reconnect.
		l.maxPayload.Store(l.conn.MaxPayload())
		l.mu.Lock()
		l.trouble = nil
		l.mu.Unlock()
		l.doubted.Store(false)
		l.standing.Store(true)
	case nats.CLOSED:
		l.standing.Store(false)
		l.over.Store(true)
	default:
		l.standing.Store(false)
		// Another server, or the same with other permissions, may let us hear.
		l.mu.Lock()
		l.deaf = nil
		l.mu.Unlock()
	}
}

// ready tells whether a message can be sent now.
func (l *link) ready() bool { return l.standing.Load() && !l.doubted.Load() }

// stands fails unless the link is ready; a patient caller waits for it.
func (l *link) stands(ctx context.Context, patient bool) error {
	if patient {
		return l.await(ctx)
	}
	if !l.ready() {
		return l.why()
	}
	return nil
}

// await waits until the connection is ready. It makes the client try now
// instead of after its delay.
func (l *link) await(ctx context.Context) error {
	if l.ready() {
		return nil
	}
	if !l.standing.Load() {
		// It waits for the client's lock, and by then the client may have done it.
		go guard(func() {
			if !l.conn.IsConnected() {
				_ = l.conn.ForceReconnect()
			}
		})
	}
	for !l.ready() {
		select {
		case <-ctx.Done():
			return l.why()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
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

// doubt is called when an ack did not come or a write failed. Until the server
// has answered a PING nothing more is sent, so that a session does not wait out
// its time-out for each message to a server that stands still; one that does
// not answer within limit is left for another, or for itself to come back.
func (l *link) doubt(limit time.Duration) {
	if l.doubted.Swap(true) {
		return
	}
	go guard(func() {
		if l.conn.FlushTimeout(limit) == nil {
			l.doubted.Store(false)
			return
		}
		// Reconnected, it is not in doubt any more.
		if l.doubted.Load() {
			_ = l.conn.ForceReconnect()
		}
	})
}

// The client's handlers. They must not panic: nobody above them recovers.

func (l *link) onDisconnect(_ *nats.Conn, err error) { guard(func() { l.note(err) }) }

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
