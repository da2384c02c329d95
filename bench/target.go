package main

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Below the target's url, these answer otherwise than at once with 200.
const (
	hanging = "hang" // never
	failing = "fail" // 503
)

// target is the endpoint that webhooks are posted to. It reads a request, counts it and answers 200;
// the one of the tests keeps every request, and would be what is measured.
type target struct {
	url    string
	server *http.Server
	count  atomic.Pointer[count]
	paced  atomic.Pointer[paced]
	delay  atomic.Int64 // ns before each answer
}

// count is what arrives in one slice of deliveries.
type count struct {
	path     string // of what is counted; empty counts all
	from, to int64  // the arrivals between which time is taken
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
func (t *target) expect(n int) *count { return t.expectAt("", n) }

// expectAt is expect for what arrives at one path.
func (t *target) expectAt(path string, n int) *count {
	c := &count{path: path, from: int64(max(1, n/10)), to: int64(n), done: make(chan time.Time, 1)}
	t.count.Store(c)
	return c
}

func (t *target) serve(w http.ResponseWriter, r *http.Request) {
	if p := t.paced.Load(); p != nil {
		p.arrived(r.Header.Get("Webhook-Id"))
	}
	_, _ = io.Copy(io.Discard, r.Body)
	t.arrived(r)
	switch {
	case r.URL.Path == "/"+hanging:
		<-r.Context().Done()
	case r.URL.Path == "/"+failing:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		time.Sleep(time.Duration(t.delay.Load()))
	}
}

func (t *target) arrived(r *http.Request) {
	c := t.count.Load()
	if c.path != "" && r.URL.Path != "/"+c.path {
		return
	}
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
