package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"rule_engine/test/process"
	"rule_engine/test/worker"
)

const (
	drainIn = 5 * time.Minute
	// lookAtMemory is how often a worker's is read.
	lookAtMemory = 250 * time.Millisecond
	megabyte     = 1024.0
)

// backlog measures how a worker drains what has queued up for one endpoint, and how late events come to
// others meanwhile.
func (s *setup) backlog(ctx context.Context, out io.Writer, measure effort) (err error) {
	of, drop, err := s.beside(ctx, database+"_backlog")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	big, err := of.hooks(ctx, "big", 1)
	if err != nil {
		return err
	}
	fresh, err := of.hooks(ctx, "well", 10)
	if err != nil {
		return err
	}
	idle, err := of.idleMemory(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for i, c := range []struct {
		name string
		fill func(context.Context, int32, int) error
	}{{"in the stream", of.fillStream}, {"in the queue", of.fillQueue}} {
		progress("- " + c.name)
		if err := errors.Join(of.clear(ctx), c.fill(ctx, big[0], measure.backlog)); err != nil {
			return err
		}
		d, err := of.drain(ctx, measure.backlog, of.watch(fmt.Sprint("fresh-", i), fresh))
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		rows = append(rows, append([]string{c.name, fmt.Sprintf("%.1f", d.took.Seconds()), fmt.Sprintf("%.0f", float64(measure.backlog)/d.took.Seconds()),
			fmt.Sprintf("%.1f", idle), fmt.Sprintf("%.1f", d.peak)}, d.fresh.cells()...))
	}
	heading(out, fmt.Sprintf("A backlog of %d events", measure.backlog))
	table(out, append([]string{"", "drained in, s", "per second", "memory of an idle worker, MB", "most meanwhile, MB"}, latenessHead...), rows)
	fmt.Fprintf(out, "\nOne Go worker with %d requests at once starts on the backlog of one endpoint; %d events a second are published meanwhile to ten others, and how late these came is shown. Memory is what is private in /proc/PID/smaps, read every %d ms.\n",
		concurrency, eventsPerSecond, lookAtMemory.Milliseconds())
	return nil
}

// idleMemory is that of a worker with nothing to do, in MB.
func (s *setup) idleMemory(ctx context.Context) (mb float64, err error) {
	w, err := s.startWorker(ctx, worker.Go, concurrency)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Remove(), s.forgetConsumer(ctx)) }()
	has, err := process.FootprintOf(w.Pid())
	return has.Private / megabyte, err
}

// drained is what was seen while a backlog went.
type drained struct {
	took  time.Duration
	peak  float64 // MB of the worker
	fresh lateness
}

// drain starts a worker on n events, and publishes others until these have arrived.
func (s *setup) drain(ctx context.Context, n int, p *paced) (d drained, err error) {
	arriving := s.target.expectAt("big", n)
	began := time.Now()
	w, err := s.startWorker(ctx, worker.Go, concurrency)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, w.Remove(), s.forgetConsumer(ctx)) }()
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- p.publish(publishing, s, eventsPerSecond) }()
	late := time.After(drainIn)
	for d.took == 0 {
		select {
		case last := <-arriving.done:
			d.took = last.Sub(began)
		case <-time.After(lookAtMemory):
		case <-late:
			return d, fmt.Errorf("%d of %d requests arrived\n%s", arriving.arrived.Load(), n, w.Log())
		case <-ctx.Done():
			return d, ctx.Err()
		}
		has, err := process.FootprintOf(w.Pid())
		if err != nil {
			return d, err
		}
		d.peak = max(d.peak, has.Private/megabyte)
	}
	stop()
	if err := <-failed; err != nil {
		return d, err
	}
	d.fresh, err = p.late(ctx, func(int) bool { return true })
	return d, err
}
