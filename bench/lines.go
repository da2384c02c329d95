package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"rule_engine/test/proxy"
)

// lines measures publishing over a line that takes its time, as a network between machines does.
func (s *setup) lines(ctx context.Context, out io.Writer, measure effort) error {
	var rows [][]string
	for _, late := range []time.Duration{time.Millisecond, 10 * time.Millisecond} {
		progress(fmt.Sprintf("- %v each way", late))
		of, err := s.overLine(ctx, measure, late)
		if err != nil {
			return err
		}
		rows = append(rows, of...)
	}
	heading(out, "Over a line that takes its time")
	table(out, []string{"", "publishes per second", "of plain Go", "ms each"}, rows)
	fmt.Fprintln(out, "\nEach piece is held up in both directions by a proxy, which plain Go and SQL share.")
	return nil
}

func (s *setup) overLine(ctx context.Context, measure effort, late time.Duration) (rows [][]string, err error) {
	line, err := proxy.Start(s.nats.URL())
	if err != nil {
		return nil, err
	}
	defer line.Close()
	if err := s.pointAt(ctx, line.URL()); err != nil {
		return nil, err
	}
	defer func() {
		if back := s.pointAt(ctx, s.nats.URL()); err == nil {
			err = back
		}
	}()
	publishers, endPublishers, err := s.publisherProcesses(1, line.URL())
	if err != nil {
		return nil, err
	}
	defer endPublishers()
	one, closeOne, err := s.sessions(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer closeOne()
	if err := one[0].publish(ctx); err != nil {
		return nil, err
	}
	line.Delay(late)
	plain := &contender{name: plainName, loopers: publishers}
	contenders := []*contender{
		plain,
		{name: togetherAs, loopers: []looper{transaction{one[0]}}},
		{name: aloneAs, loopers: []looper{autocommit{one[0]}}},
	}
	if err := rounds(ctx, measure, s.empty, contenders...); err != nil {
		return nil, err
	}
	for _, c := range contenders {
		rows = append(rows, []string{fmt.Sprintf("%v each way: %s", late, c.name), c.rates.show("%.0f"),
			c.rates.per(plain.rates).show("%.2f"), fmt.Sprintf("%.2f", 1e3/c.rates.median())})
	}
	return rows, nil
}

// pointAt has every session use these servers from its next publish on.
func (s *setup) pointAt(ctx context.Context, url string) error {
	_, err := s.conn.Exec(ctx, "UPDATE rule_nats_config SET nats_url = $1", url)
	return err
}
