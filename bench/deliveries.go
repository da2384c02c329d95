package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/test/worker"
)

const (
	group       = "webhook-workers"
	concurrency = 64 // the worker's BATCH_SIZE, and as many requests at once in the plain programs
	deliverIn   = time.Minute
)

// deliveries measures each worker beside a program in its language that does nothing but consume, post
// and ack, and beside one that only posts.
func (s *setup) deliveries(ctx context.Context, out io.Writer, measure effort) error {
	posting := func() (running, error) { return startPoster(s.target.url, measure.deliveries) }
	consuming := func() (running, error) { return startConsumer(s.target.url, s.nats.URL()) }
	consumingInNode := func() (running, error) { return startConsumerInNode(s.target.url, s.nats.URL()) }
	var ceiling, simple, ours, simpleNode, oursNode figures
	for range measure.deliverers {
		for _, c := range []struct {
			start  func() (running, error)
			events bool
			rates  *figures
			signed bool
		}{
			{posting, false, &ceiling, false},
			{consuming, true, &simple, false},
			{s.starting(worker.Go), true, &ours, true},
			{consumingInNode, true, &simpleNode, false},
			{s.starting(worker.NodeJS), true, &oursNode, true},
		} {
			rate, err := s.deliver(ctx, measure.deliveries, c.events, c.signed, c.start)
			if err != nil {
				return err
			}
			*c.rates = append(*c.rates, rate)
		}
	}
	if err := s.checkRecorded(ctx, 2*measure.deliverers*measure.deliveries); err != nil {
		return err
	}

	version, err := nodeVersion()
	if err != nil {
		return err
	}
	heading(out, "Deliveries")
	row := func(name string, f, plain figures) []string {
		return []string{name, f.show("%.0f"), f.per(plain).show("%.2f"), f.per(ours).show("%.2f"), f.per(ceiling).show("%.2f")}
	}
	table(out, []string{"", "per second", "of the plain consumer in its language", "of the worker in Go", "of posting alone"}, [][]string{
		row("webhook-worker in Go: fate looked up, signed, each try recorded", ours, simple),
		row("plain Go: consume, post, DoubleAck", simple, simple),
		row("webhook-worker in Node.js: the same", oursNode, simpleNode),
		row("plain Node.js: consume, post, ackAck", simpleNode, simpleNode),
		row("plain Go: post, no NATS and no Postgres; what the endpoint takes", ceiling, simple),
	})
	fmt.Fprintf(out, "\nOne process each, %d requests at once, %d events a round, the first tenth of them not timed. The endpoint reads and answers 200; it shares the cores with all the others. Node.js is %s.\n",
		concurrency, measure.deliveries, version)
	return nil
}

// running is a program that posts.
type running interface {
	Running() bool
	Stop() error
	Remove() error
}

// deliver runs a program until n requests have arrived, and what it took from the stream is acked.
func (s *setup) deliver(ctx context.Context, n int, events, signed bool, start func() (running, error)) (rate float64, err error) {
	if err := s.empty(ctx); err != nil {
		return 0, err
	}
	if events {
		if err := s.fill(ctx, n); err != nil {
			return 0, err
		}
	}
	arriving := s.target.expect(n)
	p, err := start()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Remove()) }()
	late, cancel := context.WithTimeout(ctx, deliverIn)
	defer cancel()
	var last time.Time
	select {
	case last = <-arriving.done:
	case <-late.Done():
		return 0, fmt.Errorf("%d of %d requests arrived: %w%s", arriving.arrived.Load(), n, late.Err(), lastWords(p))
	}
	if err := s.drained(late); err != nil {
		return 0, err
	}
	if p.Running() {
		if err := p.Stop(); err != nil {
			return 0, err
		}
	}
	if extra := arriving.arrived.Load() - int64(n); extra != 0 {
		progress(fmt.Sprintf("- %d requests more than events", extra))
	}
	if signed && arriving.signed.Load() < int64(n) {
		return 0, fmt.Errorf("%d of %d requests were signed", arriving.signed.Load(), n)
	}
	return arriving.perSecond(last), s.forgetConsumer(ctx)
}

// lastWords is the log of a program that keeps one.
func lastWords(p running) string {
	if keeps, ok := p.(interface{ Log() string }); ok {
		return "\n" + keeps.Log()
	}
	return ""
}

// fill publishes n events from SQL, so that the worker finds each one's row of history.
func (s *setup) fill(ctx context.Context, n int) error {
	const sessions = 4
	all, end, err := s.sessions(ctx, sessions)
	if err != nil {
		return err
	}
	defer end()
	failed := make(chan error, sessions)
	for _, one := range all {
		go func() { failed <- one.publishTogether(ctx, n/sessions) }()
	}
	for range all {
		err = errors.Join(err, <-failed)
	}
	return err
}

// drained waits until the stream, a work queue, holds nothing: all of it is acked.
func (s *setup) drained(ctx context.Context) error {
	for {
		held, err := s.js.Stream(ctx, s.stream)
		if err != nil {
			return err
		}
		left := held.CachedInfo().State.Msgs
		if left == 0 {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d messages are not acked: %w", left, ctx.Err())
		}
	}
}

// forgetConsumer leaves the stream to the next one's: a work queue has one consumer for a subject.
func (s *setup) forgetConsumer(ctx context.Context) error {
	err := s.js.DeleteConsumer(ctx, s.stream, group)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// checkRecorded sees that the worker did what it is measured for.
func (s *setup) checkRecorded(ctx context.Context, n int) error {
	var delivered int
	err := s.conn.QueryRow(ctx, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'").Scan(&delivered)
	if err == nil && delivered < n {
		err = fmt.Errorf("%d attempts were recorded for %d deliveries", delivered, n)
	}
	return err
}
