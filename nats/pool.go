package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Pool is a backend's way to the NATS of one configuration.
type Pool struct {
	config Config
	// client is the name that the server shows for our connection.
	client string
	// source is the database's source id, which a stream of ours bears.
	source   string
	requests atomic.Int64

	mu sync.Mutex
	// link is the connection, nil before the first and after the last.
	link *link
	// attempt is closed when the connection attempt under way has ended; nil
	// when there is none.
	attempt chan struct{}
	// failure is why the last attempt failed, nil after a success; until
	// retryAt no further one is made.
	failure error
	retryAt time.Time
	closed  bool
}

// link is one connection with what is in flight on it.
type link struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	flight flight
}

// NewPool makes a pool that has not connected. client names its connections.
func NewPool(config Config, client, source string) *Pool {
	return &Pool{config: config, client: client, source: source}
}

// Config is what the pool was made with.
func (p *Pool) Config() *Config { return &p.config }

// Source is the source id that the pool was made with.
func (p *Pool) Source() string { return p.source }

// Close drops the connection. What is in flight comes back as unknown.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.link != nil {
		go guard(p.link.conn.Close)
	}
}

// connection answers the connection. Where there is none it makes one, and
// waits for it at most the connection time-out; unless NATS is known to be
// away and patient is false: then it fails at once and the attempt goes on for
// later callers. So a session pays the time-out once.
func (p *Pool) connection(ctx context.Context, patient bool) (*link, error) {
	p.mu.Lock()
	if p.link != nil && !p.link.conn.IsClosed() {
		standing := p.link
		p.mu.Unlock()
		return standing, standing.await(ctx, patient)
	}
	known := p.failure
	if p.attempt == nil {
		if known != nil && !patient && time.Now().Before(p.retryAt) {
			p.mu.Unlock()
			return nil, known
		}
		p.attempt = make(chan struct{})
		go guard(p.connect)
	}
	attempt := p.attempt
	p.mu.Unlock()

	if known != nil && !patient {
		return nil, known
	}
	select {
	case <-attempt:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil {
		return nil, p.failure
	}
	if p.link == nil {
		return nil, nats.ErrConnectionClosed
	}
	return p.link, nil
}

// await fails unless the connection stands. A patient caller makes the client
// try now instead of after its delay.
func (l *link) await(ctx context.Context, patient bool) error {
	if l.conn.IsConnected() {
		return nil
	}
	if !patient {
		return nats.ErrDisconnected
	}
	if err := l.conn.ForceReconnect(); err != nil {
		return err
	}
	for !l.conn.IsConnected() {
		select {
		case <-ctx.Done():
			return nats.ErrDisconnected
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func (p *Pool) connect() {
	fresh, err := p.dial()
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.attempt)
	p.attempt = nil
	p.failure = err
	p.retryAt = time.Now().Add(p.config.ReconnectDelay)
	if err != nil {
		return
	}
	p.link = fresh
	if p.closed {
		fresh.conn.Close()
	}
}

func (p *Pool) dial() (*link, error) {
	fresh := &link{}
	options, err := p.config.options(p.client, fresh.onError)
	if err != nil {
		return nil, &settingsError{err}
	}
	if fresh.conn, err = nats.Connect(strings.Join(p.config.URLs, ","), options...); err != nil {
		return nil, err
	}
	// Half of what a publish may take, so that one whose ack was lost is sent
	// again within it.
	fresh.js, err = jetstream.New(fresh.conn,
		jetstream.WithPublishAsyncTimeout(p.config.PublishTimeout/2),
		jetstream.WithPublishAsyncAckHandler(fresh.flight.onAck),
		jetstream.WithPublishAsyncErrHandler(fresh.flight.onError),
		jetstream.WithDefaultTimeout(p.config.PublishTimeout))
	if err != nil {
		fresh.conn.Close()
		return nil, err
	}
	return fresh, nil
}

// onError keeps the client from writing to stderr, which is the server log.
// What matters of an error shows in the outcome of what it concerns.
func (l *link) onError(*nats.Conn, *nats.Subscription, error) {}

// Stats are a pool's figures as rule_nats_health_check shows them.
type Stats struct {
	Total    int
	Healthy  int
	Requests int64
}

// Stats says how the pool stands now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := Stats{Requests: p.requests.Load()}
	if p.link != nil && !p.link.conn.IsClosed() {
		stats.Total = 1
		if p.link.conn.IsConnected() {
			stats.Healthy = 1
		}
	}
	return stats
}

// guard runs f so that a panic ends f and not the server: a goroutine that
// panics without recover takes the whole cluster down.
func guard(f func()) {
	defer func() { _ = recover() }()
	f()
}

// protect runs f and turns a panic into an error.
func protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}
