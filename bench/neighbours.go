package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"rule_engine/test/worker"
)

// eventsPerSecond is published to endpoints that do well while another one does not.
const (
	eventsPerSecond = 300
	failingHooks    = 10
)

// neighbours measures how late events come to endpoints that do well while one hangs with a backlog and
// ten fail, beside the same without them.
func (s *setup) neighbours(ctx context.Context, out io.Writer, measure effort) (err error) {
	of, drop, err := s.beside(ctx, database+"_neighbours")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	stuck, err := of.hooks(ctx, hanging, 1)
	if err != nil {
		return err
	}
	failing, err := of.hooks(ctx, failing, failingHooks)
	if err != nil {
		return err
	}
	healthy, err := of.hooks(ctx, "well", measure.endpoints-1-failingHooks)
	if err != nil {
		return err
	}
	var rows [][]string
	var without lateness
	for i, c := range []struct {
		name  string
		hooks []int32
		fill  func() error
	}{
		{"all do well", healthy, func() error { return nil }},
		{"one hangs, its events in the stream", append(healthy, failing...), func() error { return of.fillStream(ctx, stuck[0], measure.stuck) }},
		{"one hangs, its events in the queue", append(healthy, failing...), func() error { return of.fillQueue(ctx, stuck[0], measure.stuck) }},
	} {
		progress("- " + c.name)
		l, err := of.amongOthers(ctx, measure, of.watch(fmt.Sprint("neighbour-", i), c.hooks), len(healthy), c.fill)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if i == 0 {
			without = l
		}
		rows = append(rows, append(append([]string{c.name}, l.cells()...), fmt.Sprintf("%.2f", l.percentile(0.99)/without.percentile(0.99))))
	}
	heading(out, fmt.Sprintf("%d endpoints of which one hangs and ten fail", measure.endpoints))
	table(out, append(append([]string{""}, latenessHead...), "p99, of that when all do well"), rows)
	fmt.Fprintf(out, "\nOne Go worker with %d requests at once starts on %d events of the endpoint that hangs until timeout_ms (5 s); then %d events a second are published to the others in turn. Ten of these answer 503 and are not in the figures. From the moment before the COMMIT to the request.\n",
		concurrency, measure.stuck, eventsPerSecond)
	return nil
}

// amongOthers publishes to webhooks, of which the first so many are looked at.
func (s *setup) amongOthers(ctx context.Context, measure effort, p *paced, looked int, fill func() error) (l lateness, err error) {
	if err := errors.Join(s.clear(ctx), fill()); err != nil {
		return l, err
	}
	w, err := s.startWorker(ctx, worker.Go, concurrency)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, w.Remove(), s.forgetConsumer(ctx)) }()
	over, cancel := context.WithTimeout(ctx, measure.pace)
	defer cancel()
	if err := p.publish(over, s, eventsPerSecond); err != nil {
		return l, err
	}
	return p.late(ctx, func(hook int) bool { return hook < looked })
}
