package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"rule_engine/bench/publisher"
)

// atOnce is how many newcomers make a storm.
const atOnce = 50

// storm times the first publish of many sessions that all make it at once, as after a deployment.
func (s *setup) storm(ctx context.Context, out io.Writer, measure effort) error {
	var inSQL, inGo storms
	for range measure.rounds {
		if err := s.stormInSQL(ctx, &inSQL); err != nil {
			return err
		}
		if err := s.stormInGo(ctx, &inGo); err != nil {
			return err
		}
	}
	heading(out, fmt.Sprintf("%d first publishes at once", atOnce))
	row := func(name string, of storms) []string {
		return []string{name, of.last.show("%.0f"), of.middle.show("%.0f"), of.last.per(inGo.last).show("%.1f")}
	}
	table(out, []string{"", "until the last was acknowledged, ms", "median of them, ms", "of plain Go"}, [][]string{
		row("SQL: in each backend Go starts, rows are read, NATS is connected", inSQL),
		row("plain Go, one process: NATS is connected", inGo),
	})
	fmt.Fprintln(out, "\nThe sessions were connected to PostgreSQL before.")
	return s.empty(ctx)
}

// storms are what became of some, in ms.
type storms struct{ middle, last figures }

func (s *storms) note(n int, publish func(i int) error) error {
	took := make([]float64, n)
	failed := make([]error, n)
	var all sync.WaitGroup
	began := time.Now()
	for i := range n {
		all.Go(func() {
			failed[i] = publish(i)
			took[i] = time.Since(began).Seconds() * 1000
		})
	}
	all.Wait()
	s.middle = append(s.middle, figures(took).median())
	s.last = append(s.last, slices.Max(took))
	return errors.Join(failed...)
}

func (s *setup) stormInSQL(ctx context.Context, to *storms) error {
	sessions, end, err := s.sessions(ctx, atOnce)
	if err != nil {
		return err
	}
	defer end()
	for _, one := range sessions {
		// As for the first publish: preparing loads the shim, and no more.
		if _, err := one.conn.Prepare(ctx, publishOne, publishOne); err != nil {
			return err
		}
	}
	return to.note(atOnce, func(i int) error { return sessions[i].publish(ctx) })
}

func (s *setup) stormInGo(ctx context.Context, to *storms) error {
	connected := make([]*publisher.Publisher, atOnce)
	defer func() {
		for _, p := range connected {
			if p != nil {
				p.Close()
			}
		}
	}()
	return to.note(atOnce, func(i int) (err error) {
		if connected[i], err = publisher.New(s.nats.URL(), s.event()); err != nil {
			return err
		}
		return connected[i].Publish(ctx)
	})
}
