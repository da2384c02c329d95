package nats

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// doubt is called when an ack did not come or a write failed. Until the server
// has answered a PING nothing more is sent, so that a session does not wait out
// its time-out for each message to a server that stands still. One that does not
// answer for a while is replaced where another connection may be opened, and
// after the connection time-out left for another server, or for itself to come back.
func (p *Pool) doubt(l *link) {
	if l.doubted.Swap(true) {
		return
	}
	limit := p.config.ConnectionTimeout
	// Not in the goroutine below: the client can be busy writing to the silent server.
	late := time.AfterFunc(limit/4, func() {
		guard(func() {
			if l.doubted.Load() {
				p.failOver(l)
			}
		})
	})
	go guard(func() {
		if l.conn.FlushTimeout(limit) == nil {
			l.doubted.Store(false)
			late.Stop()
			return
		}
		// Reconnected, it is not in doubt any more.
		if l.doubted.Load() {
			_ = l.conn.ForceReconnect()
		}
	})
}

// failOver opens a second connection, to another server where there is one, to
// take the place of one that is silent. Whichever answers first carries on; the
// other is closed.
func (p *Pool) failOver(silent *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config.MaxConnections < 2 || p.closed || p.link != silent || p.attempt != nil {
		return
	}
	p.attempt = make(chan struct{})
	go guard(func() { p.connect(silent.dialer.server()) })
}

// await waits until there is a connection that is ready. It makes the client try
// now instead of after its delay.
func (p *Pool) await(ctx context.Context) (*link, error) {
	for asked := false; ; asked = true {
		l := p.carrier()
		switch {
		case l == nil:
			return nil, nats.ErrConnectionClosed
		case l.ready():
			return l, nil
		case l.over.Load():
			return nil, p.named(l.why())
		case !asked:
			if r := l.dialer.reconnecting.Load(); r != nil {
				r.insisted.Store(true)
			}
			l.hurry()
		}
		select {
		case <-ctx.Done():
			return nil, p.named(l.why())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// carrier is the connection that carries events. Once there was one there is one
// as long as the pool is in use.
func (p *Pool) carrier() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link
}
