package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"rule_engine/test/worker"
)

const (
	// slowAnswer is what the endpoint takes, and slowAtOnce a worker's requests at once: on a machine with
	// few cores the endpoint stays the bottleneck of four workers.
	slowAnswer = 50 * time.Millisecond
	slowAtOnce = 16
)

// workers measures how one, two and four share an endpoint that takes its time, and how late events come
// when one of them has half of what it can do.
func (s *setup) workers(ctx context.Context, out io.Writer, measure effort) error {
	s.target.delay.Store(int64(slowAnswer))
	defer s.target.delay.Store(0)
	counts := []int{1, 2, 4}
	rates := make([]figures, len(counts))
	for range measure.deliverers {
		for i, n := range counts {
			rate, err := s.deliver(ctx, n*measure.slow, true, true, s.startingMany(n))
			if err != nil {
				return fmt.Errorf("%d workers: %w", n, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	var rows [][]string
	for i, n := range counts {
		most := float64(n*slowAtOnce) / slowAnswer.Seconds()
		rows = append(rows, []string{fmt.Sprint(n), rates[i].show("%.0f"), rates[i].per(rates[0]).show("%.2f"),
			fmt.Sprintf("%.2f", rates[i].median()/most)})
	}
	heading(out, "Workers on an endpoint that takes 50 ms")
	table(out, []string{"workers", "per second", "of one worker", "of what so many requests at once can be"}, rows)
	fmt.Fprintf(out, "\nThe Go worker, each process with %d requests at once; %d events for each a round, the first tenth of them not timed.\n",
		slowAtOnce, measure.slow)
	return s.latenessAtHalf(ctx, out, measure, rates[0].median()/2)
}

// latenessAtHalf publishes at this rate to one worker.
func (s *setup) latenessAtHalf(ctx context.Context, out io.Writer, measure effort, perSecond float64) (err error) {
	var rows [][]string
	for _, mode := range []string{"nats", "queue"} {
		progress("- lateness, mode " + mode)
		hook, err := s.registered(ctx, hookName+" late "+mode, mode)
		if err != nil {
			return err
		}
		l, err := s.paceWorker(ctx, s.watch("late-"+mode, []int32{hook}), perSecond, measure.pace)
		if err != nil {
			return err
		}
		rows = append(rows, append([]string{"mode '" + mode + "'"}, l.cells()...))
	}
	heading(out, "From commit to the first request")
	table(out, append([]string{""}, latenessHead...), rows)
	fmt.Fprintf(out, "\nOne Go worker with %d requests at once, the endpoint takes 50 ms, and %.0f events a second are published, half of what it can deliver. From the moment before the COMMIT is sent to the moment when the endpoint has the request's head.\n",
		slowAtOnce, perSecond)
	return nil
}

// paceWorker publishes for a while, to a worker that it starts for it.
func (s *setup) paceWorker(ctx context.Context, p *paced, perSecond float64, length time.Duration) (l lateness, err error) {
	if err := s.empty(ctx); err != nil {
		return l, err
	}
	w, err := s.startWorker(ctx, worker.Go, slowAtOnce)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, w.Remove(), s.forgetConsumer(ctx)) }()
	over, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	if err := p.publish(over, s, perSecond); err != nil {
		return l, err
	}
	if l, err = p.late(ctx, func(int) bool { return true }); err == nil {
		err = w.Stop()
	}
	return l, err
}
