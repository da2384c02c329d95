package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	mostOfAnswer = 16 << 10 // read at all
	keptOfAnswer = 1 << 10  // kept of a failure
	mostOfHeader = 64 << 10

	// Servers drop idle connections after 5 s at the earliest. Let go before: a
	// request that meets the server's close on its way is a failed try.
	idleConnection = 4 * time.Second
)

// outcome is what became of one try.
type outcome struct {
	result   string // 'answered', 'failed' or 'released'
	status   int
	err      string
	answer   string
	started  time.Time
	duration time.Duration

	retryAfter time.Duration // 0 when the endpoint did not say
}

// outage tells from an answer that the endpoint was not there to give one, as
// the database sees it: the request itself is not at fault.
func (o outcome) outage() bool {
	switch o.status {
	case 408, 425, 429:
		return true
	}
	return o.result == "failed" || o.status < 200 || o.status > 499
}

// sender makes requests, one on the wire for each try.
//
// net/http repeats a request by itself when a reused connection breaks before
// the answer: if it can have the body a second time (GetBody), or there is no
// body and the method, or an Idempotency-Key header, calls it safe. So requests
// here have a body that can be read once and no GetBody. HTTP/2 has such rules
// of its own and is off. RoundTrip is called directly: http.Client would follow
// redirects and set GetBody.
type sender struct {
	transport *http.Transport
	slots     chan struct{}
	inFlight  atomic.Int64
}

// newSender makes one that goes through the proxy where there is one.
func newSender(inFlight int, g guard, via *proxy) *sender {
	d := &dialer{(&net.Dialer{Control: g.control}).DialContext}
	if via != nil {
		d.reach = (&tunnels{proxy: via, guard: g}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &sender{
		slots: make(chan struct{}, inFlight),
		transport: &http.Transport{
			Proxy:                  nil, // none of the environment; one that is asked for the dialer goes through
			DialContext:            d.dial,
			DialTLSContext:         d.dialTLS,
			Protocols:              protocols,
			DisableCompression:     true,
			MaxResponseHeaderBytes: mostOfHeader,
			MaxIdleConns:           4 * inFlight,
			MaxIdleConnsPerHost:    inFlight,
			IdleConnTimeout:        idleConnection,
		},
	}
}

// enter waits for a place among the requests on the wire. One that takes long
// leaves it to others: its webhook's window bounds those.
func (s *sender) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.inFlight.Add(1)
	free := sync.OnceFunc(func() { <-s.slots })
	late := time.AfterFunc(patience, free)
	return func() {
		late.Stop()
		free()
		s.inFlight.Add(-1)
	}, nil
}

// try sends the event once. The endpoint's time is one deadline over all of
// it, from looking up the name to the last byte of the answer.
func (s *sender) try(ctx context.Context, ep *endpoint, e *event) outcome {
	o := outcome{started: time.Now()}
	if ep.broken != nil {
		o.result, o.err = "failed", ep.broken.Error()
		return o
	}
	limited, cancel := context.WithTimeout(ctx, ep.timeout)
	defer cancel()
	status, header, answer, err := s.request(limited, ep, e, o.started)
	o.duration = time.Since(o.started)
	switch {
	case err == nil:
		o.result, o.status = "answered", status
		if status < 200 || status > 299 {
			o.answer = plain(string(answer[:min(len(answer), keptOfAnswer)]), keptOfAnswer)
			o.retryAfter = retryAfter(header, time.Now())
		}
	case ctx.Err() != nil:
		o.result = "released" // the process ends
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		o.result, o.err = "failed", fmt.Sprintf("no whole answer within %d ms", ep.timeout.Milliseconds())
	default:
		o.result, o.err = "failed", plain(trouble(err), keptOfAnswer)
	}
	return o
}

func (s *sender) request(ctx context.Context, ep *endpoint, e *event, at time.Time) (int, http.Header, []byte, error) {
	header := ep.header.Clone()
	sign(header, ep.keys, e.messageID, at, e.body)
	if e.trace != "" {
		header["Traceparent"] = []string{e.trace}
	}
	req := (&http.Request{
		Method:        ep.method,
		URL:           ep.url,
		Host:          ep.host,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(e.body)),
		ContentLength: int64(len(e.body)),
	}).WithContext(dialling(ctx))
	res, err := s.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		// Its body is the bare connection, which heeds no deadline.
		return res.StatusCode, res.Header, nil, nil
	}
	if res.StatusCode < 100 {
		return 0, nil, nil, fmt.Errorf("the answer's status is %03d, which is none", res.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostOfAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("status %d, but the answer broke off: %w", res.StatusCode, err)
	}
	// When more was to come, Close ends the connection and not the try.
	return res.StatusCode, res.Header, answer, nil
}
