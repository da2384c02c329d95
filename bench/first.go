package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"rule_engine/bench/publisher"
)

// pair is the first publish and the second of newcomers, in ms.
type pair struct{ first, second figures }

func (p *pair) note(publish func() error) error {
	for _, to := range []*figures{&p.first, &p.second} {
		began := time.Now()
		if err := publish(); err != nil {
			return err
		}
		*to = append(*to, time.Since(began).Seconds()*1000)
	}
	return nil
}

// firstPublish times the first publish of new sessions, with all that it brings up, and the second.
func (s *setup) firstPublish(ctx context.Context, out io.Writer, measure effort) error {
	var inSQL, inGo pair
	var connecting figures
	for range measure.newcomers {
		began := time.Now()
		fresh, end, err := s.sessions(ctx, 1)
		if err != nil {
			return err
		}
		connecting = append(connecting, time.Since(began).Seconds()*1000)
		// Preparing loads the shim: the session has called nothing yet.
		if _, err = fresh[0].conn.Prepare(ctx, publishOne, publishOne); err == nil {
			err = inSQL.note(func() error { return fresh[0].publish(ctx) })
		}
		end()
		if err != nil {
			return err
		}
		if err := s.firstInGo(ctx, &inGo); err != nil {
			return err
		}
	}

	heading(out, "The first publish of a session")
	row := func(name string, p pair) []string {
		return []string{name, p.first.show("%.2f"), p.second.show("%.2f"), fmt.Sprintf("%.0f", p.first.median()/p.second.median())}
	}
	table(out, []string{"", "first, ms", "second, ms", "first to second"}, [][]string{
		row("SQL: Go starts, rows are read, NATS is connected", inSQL),
		row("plain Go: NATS is connected", inGo),
	})
	fmt.Fprintf(out, "\nMedian of %d new sessions (lowest to highest). Beside it, connecting the session to PostgreSQL took %s ms.\n",
		measure.newcomers, connecting.show("%.2f"))
	return s.empty(ctx)
}

// firstInGo does the same in plain Go, where the first publish includes the connection.
func (s *setup) firstInGo(ctx context.Context, times *pair) error {
	var p *publisher.Publisher
	defer func() {
		if p != nil {
			p.Close()
		}
	}()
	return times.note(func() (err error) {
		if p == nil {
			if p, err = publisher.New(s.nats.URL(), s.event()); err != nil {
				return err
			}
		}
		return p.Publish(ctx)
	})
}
