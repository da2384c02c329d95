package nats

import (
	"context"
	"fmt"
	"slices"
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
	outage   Outage
	requests atomic.Int64
	lastLook atomic.Pointer[lastLook]
	quiets   quiets

	mu sync.Mutex
	// link is the connection, nil before the first and after the last. A second
	// one is only ever on its way to take its place.
	link *link
	// attempt is closed when the connection attempt under way has ended; nil
	// when there is none.
	attempt chan struct{}
	// failure is why the last attempt failed, nil after a success; until
	// retryAt no further one is made.
	failure error
	retryAt time.Time
	// told says that the others know of failure, or that it is known from them.
	told   bool
	closed bool
	// uses are those under way; usedAt is when the last one ended.
	uses   int
	usedAt time.Time
	idle   *time.Timer
}

// NewPool makes a pool that has not connected. client names its connections;
// outage is nil where sessions share nothing.
func NewPool(config Config, client, source string, outage Outage) *Pool {
	if outage == nil {
		outage = untold{}
	}
	return &Pool{config: config, client: client, source: source, outage: outage}
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
	if p.idle != nil {
		p.idle.Stop()
	}
	if p.link != nil {
		go guard(p.link.conn.Close)
	}
}

// connection answers the connection. Where there is none it makes one, and
// waits for it at most the connection time-out; unless NATS is known to be
// away and patient is false: then it fails at once and an attempt is made for
// later callers. So a session pays the time-out once.
func (p *Pool) connection(ctx context.Context, patient bool) (*link, error) {
	p.mu.Lock()
	p.drop()
	if standing := p.link; standing != nil {
		p.mu.Unlock()
		if patient {
			return p.await(ctx)
		}
		if !standing.ready() {
			return nil, p.named(standing.why())
		}
		return standing, nil
	}
	if !patient {
		if err := p.absent(); err != nil {
			p.mu.Unlock()
			return nil, err
		}
	}
	p.knock()
	attempt := p.attempt
	p.mu.Unlock()

	select {
	case <-attempt:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.link != nil:
		return p.link, nil
	case p.failure != nil:
		return nil, p.failure
	case ctx.Err() != nil:
		// The attempt goes on, but nobody waits for it again.
		p.failure = ctx.Err()
		p.told = p.tell(p.failure)
		return nil, p.failure
	}
	return nil, nats.ErrConnectionClosed
}

// known answers why a message cannot be sent now where that is known without
// waiting: nothing of it may wait, since the caller is the backend itself.
func (p *Pool) known() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
	if p.link == nil {
		return p.absent()
	}
	if p.link.ready() {
		return nil
	}
	if r := p.link.dialer.reconnecting.Load(); r != nil && r.released() {
		p.link.hurry()
	}
	return p.named(p.link.why())
}

// drop forgets a connection that the client gave up, after
// max_reconnect_attempts. The lock is held.
func (p *Pool) drop() {
	if p.link != nil && p.link.over.Load() {
		p.failure, p.told, p.link = p.named(p.link.why()), false, nil
	}
}

// stands tells whether a message could be sent now.
func (p *Pool) stands() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link != nil && p.link.ready()
}

// connect opens a connection, to another server than avoid if one is named.
func (p *Pool) connect(avoid string) {
	var fresh *link
	err := protect(func() (err error) {
		fresh, err = p.dial(avoid)
		return err
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.attempt)
	p.attempt = nil
	p.failure = err
	if p.link == nil || err == nil {
		p.told = p.tell(err)
	}
	p.retryAt = time.Now().Add(p.config.ReconnectDelay)
	defer p.restLater()
	if err != nil {
		return
	}
	spare := fresh
	if !p.closed && (p.link == nil || !p.link.ready()) {
		spare, p.link = p.link, fresh
	}
	if spare != nil {
		go guard(spare.conn.Close)
	}
}

// named is err, or which setting is to blame for it.
func (p *Pool) named(err error) error {
	if err == nil {
		return nil
	}
	return p.config.diagnose(err)
}

func (p *Pool) dial(avoid string) (*link, error) {
	dialer := &dialer{}
	fresh := newLink(dialer)
	if len(p.config.URLs) > 1 {
		dialer.avoid.Store(&avoid)
	}
	options, err := p.config.options(p.client, fresh)
	if err != nil {
		return nil, &settingsError{err}
	}
	options = append(options, nats.SetCustomDialer(dialer), nats.SkipHostLookup())

	// Of several servers each has its share of the time at first, so that a dead
	// one does not use up what a caller waits; then, for slow lines, all of it.
	whole := p.config.ConnectionTimeout
	dialer.limit.Store(int64(whole) / int64(max(1, len(p.config.URLs))))
	fresh.conn, err = p.open(options, dialer)
	dialer.limit.Store(int64(whole))
	if err != nil && len(p.config.URLs) > 1 && timedOut(err) {
		fresh.conn, err = p.open(options, dialer)
	}
	dialer.avoid.Store(nil)
	if err != nil {
		return nil, p.named(err)
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
	fresh.maxPayload.Store(fresh.conn.MaxPayload())
	dialer.reconnecting.Store(&reconnecting{pool: p})
	return fresh, nil
}

// open connects. By a tls:// URL the TLS handshake comes first, which no
// eavesdropper can prevent; a server that greets in clear instead, as most do,
// gets it after the greeting.
func (p *Pool) open(options []nats.Option, dialer *dialer) (*nats.Conn, error) {
	urls := strings.Join(p.config.URLs, ",")
	if p.config.hasScheme("tls") {
		first := append(slices.Clip(options), nats.TLSHandshakeFirst())
		conn, err := nats.Connect(urls, first...)
		if err == nil || !dialer.greeted.Load() {
			return conn, err
		}
	}
	return nats.Connect(urls, options...)
}

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
	if p.link != nil && !p.link.over.Load() {
		stats.Total = 1
		if p.link.ready() {
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
