package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	plainName  = "plain Go, `jetstream.PublishMsg`"
	togetherAs = "SQL, in one transaction"
	aloneAs    = "SQL, a transaction each"
	looseAs    = "SQL, a transaction each, synchronous_commit off"
)

// publishing measures one session, and where its time goes.
func (s *setup) publishing(ctx context.Context, out io.Writer, measure effort) error {
	publishers, endPublishers, err := s.publisherProcesses(1, s.nats.URL())
	if err != nil {
		return err
	}
	defer endPublishers()
	one, closeOne, err := s.sessions(ctx, 1)
	if err != nil {
		return err
	}
	defer closeOne()
	loose, closeLoose, err := s.sessions(ctx, 1, "SET synchronous_commit = off")
	if err != nil {
		return err
	}
	defer closeLoose()

	plain := &contender{name: plainName, loopers: publishers}
	together := &contender{name: togetherAs, loopers: []looper{transaction{one[0]}}}
	contenders := []*contender{
		plain,
		together,
		{name: looseAs, loopers: []looper{autocommit{loose[0]}}},
		{name: aloneAs, loopers: []looper{autocommit{one[0]}}},
	}
	times := s.timeTransaction(ctx, together)
	if err := rounds(ctx, measure, s.empty, contenders...); err != nil {
		return err
	}
	parts, err := s.costs(ctx, measure)
	if err != nil {
		return err
	}

	heading(out, "One session that waits for each ack")
	var rows [][]string
	for _, c := range contenders {
		rows = append(rows, []string{c.name, c.rates.show("%.0f"), c.rates.per(plain.rates).show("%.2f"), c.each()})
	}
	table(out, []string{"", "publishes per second", "of plain Go", "µs each"}, rows)
	fmt.Fprintln(out, "\nMedian of the rounds (lowest to highest). A publish from SQL has written its row of history.")

	heading(out, "Where the time of a publish goes")
	call, latency := times.call.median(), times.latency.median()
	inGo, nothing := 1e6/plain.rates.median(), 1e6/parts.nothing.rates.median()
	row := func(name string, us float64) []string {
		return []string{name, fmt.Sprintf("%.0f", us), fmt.Sprintf("%.2f", us/call)}
	}
	table(out, []string{"", "µs", "of the call"}, [][]string{
		row("the whole call, in one transaction", call),
		row("to NATS and back, by the `latency_ms` that history recorded", latency),
		row("- as long as plain Go takes", inGo),
		row("- on top of that: a goroutine for the message, the ack by a handler", latency-inGo),
		row("the rest of the call", call-latency),
		row("- the way in and out and the answer: a call for a disabled webhook", nothing),
		row("- the INSERT into the history, alone, after a pause of 1 ms", parts.insertPaused),
		row("- what remains: waking the backend, and caches that cooled while it slept", call-latency-nothing-parts.insertPaused),
	})
	fmt.Fprintf(out, "\nWithout a pause before it, caches hot, the same INSERT takes %.0f µs.\n", parts.insertHot)
	fmt.Fprintln(out, "\nWhat a transaction for each publish adds, measured by the same session without any publish:")
	fmt.Fprintln(out)
	table(out, []string{"", "µs"}, [][]string{
		{"`SELECT 1`: the way between client and server", parts.trip.each()},
		{"the INSERT of such a row, committed, synchronous_commit off", parts.loose.each()},
		{"the INSERT of such a row, committed", parts.committed.each()},
	})
	return nil
}

// publishingBySessions measures more of them beside each other.
func (s *setup) publishingBySessions(ctx context.Context, out io.Writer, measure effort) error {
	var rows [][]string
	for _, n := range measure.sessions {
		progress(fmt.Sprintf("- %d beside each other", n))
		row, err := s.bySessions(ctx, measure, n)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	heading(out, "Sessions beside each other")
	table(out, []string{"", "plain Go, a process each", "plain Go, one process", togetherAs,
		"of a process each", "of one process", aloneAs, "of a process each", "of one process"}, rows)
	fmt.Fprintln(out, "\nPublishes per second of all together. Every session and every plain loop has a connection of its own.")
	return nil
}

func (s *setup) bySessions(ctx context.Context, measure effort, n int) ([]string, error) {
	processes, endProcesses, err := s.publisherProcesses(n, s.nats.URL())
	if err != nil {
		return nil, err
	}
	defer endProcesses()
	goroutines, endGoroutines, err := s.publisherGoroutines(n)
	if err != nil {
		return nil, err
	}
	defer endGoroutines()
	sessions, closeSessions, err := s.sessions(ctx, n)
	if err != nil {
		return nil, err
	}
	defer closeSessions()
	apart, joint, together, alone := &contender{loopers: processes}, &contender{loopers: goroutines}, &contender{}, &contender{}
	for _, one := range sessions {
		together.loopers = append(together.loopers, transaction{one})
		alone.loopers = append(alone.loopers, autocommit{one})
	}
	if err := rounds(ctx, measure, s.empty, apart, joint, together, alone); err != nil {
		return nil, err
	}
	row := []string{fmt.Sprint(n), apart.rates.show("%.0f"), joint.rates.show("%.0f")}
	for _, sql := range []*contender{together, alone} {
		row = append(row, sql.rates.show("%.0f"), sql.rates.per(apart.rates).show("%.2f"), sql.rates.per(joint.rates).show("%.2f"))
	}
	return row, nil
}

// each is the time that one takes when one looper does it, in µs.
func (c *contender) each() string { return fmt.Sprintf("%.0f", 1e6/c.rates.median()) }

// callTimes are those of a publish in one transaction, in µs.
type callTimes struct {
	call    figures // by the clock of the client
	latency figures // as the history recorded it, the mean of a slice
}

// timeTransaction has a contender note how long its calls took, and what the history says of them.
func (s *setup) timeTransaction(ctx context.Context, c *contender) *callTimes {
	times := &callTimes{}
	c.after = func(each time.Duration) error {
		var mean float64
		err := s.conn.QueryRow(ctx, `SELECT (avg(latency_ms) * 1000)::float8 FROM rule_nats_publish_history
				WHERE transaction = (SELECT transaction FROM rule_nats_publish_history ORDER BY publish_id DESC LIMIT 1)`).Scan(&mean)
		times.call = append(times.call, float64(each.Nanoseconds())/1000)
		times.latency = append(times.latency, mean)
		return err
	}
	return times
}
