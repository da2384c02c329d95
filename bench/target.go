package main

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// target is the endpoint that webhooks are posted to. It reads a request, counts it and answers 200;
// the one of the tests keeps every request, and would be what is measured.
type target struct {
	url    string
	server *http.Server
	count  atomic.Pointer[count]
}

// count is what arrives in one slice of deliveries.
type count struct {
	from, to int64 // the arrivals between which time is taken
	arrived  atomic.Int64
	signed   atomic.Int64
	began    atomic.Int64 // ns since the epoch, of arrival from
	done     chan time.Time
}

func startTarget() (*target, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &target{url: "http://" + listener.Addr().String() + "/"}
	t.server = &http.Server{Handler: http.HandlerFunc(t.serve)}
	t.expect(1)
	go func() { _ = t.server.Serve(listener) }()
	return t, nil
}

// expect counts anew. The first tenth is left out of the time: connections and plans are made in it.
func (t *target) expect(n int) *count {
	c := &count{from: int64(max(1, n/10)), to: int64(n), done: make(chan time.Time, 1)}
	t.count.Store(c)
	return c
}

func (t *target) serve(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	c := t.count.Load()
	if r.Header.Get("Webhook-Signature") != "" {
		c.signed.Add(1)
	}
	switch c.arrived.Add(1) {
	case c.from:
		c.began.Store(time.Now().UnixNano())
	case c.to:
		c.done <- time.Now()
	}
}

// perSecond is the rate of arrivals until the last one.
func (c *count) perSecond(last time.Time) float64 {
	return float64(c.to-c.from) / time.Duration(last.UnixNano()-c.began.Load()).Seconds()
}

func (t *target) close() { _ = t.server.Close() }
