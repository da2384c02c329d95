package nats

import "time"

// begin and end stand around each use of the pool.
func (p *Pool) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uses++
}

func (p *Pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uses--
	p.restLater()
}

// restLater makes the pool rest once it has not been used for the idle time. The
// lock is held.
func (p *Pool) restLater() {
	if p.uses > 0 || p.closed || p.config.IdleTimeout <= 0 {
		return
	}
	p.usedAt = time.Now()
	if p.idle == nil {
		p.idle = time.AfterFunc(p.config.IdleTimeout, func() { guard(p.rest) })
		return
	}
	p.idle.Reset(p.config.IdleTimeout)
}

// rest closes the connection of a pool that nobody uses; the next use opens
// another. A timer that fired as a use began or ended finds that out here.
func (p *Pool) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.link == nil || p.link.over.Load() || p.uses > 0 || p.attempt != nil ||
		time.Since(p.usedAt) < p.config.IdleTimeout {
		return
	}
	if !p.link.ready() {
		// Closed now it would not notice that NATS is there again, and the next use
		// would be told of an outage that has passed.
		p.idle.Reset(p.config.IdleTimeout)
		return
	}
	go guard(p.link.conn.Close)
	// A second connection may have failed while this one stood.
	p.link, p.failure = nil, nil
}
