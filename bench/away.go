package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var errNoFallback = errors.New("an event did not go into the queue")

// callMany is one statement that makes many calls.
const callMany = "SELECT count(*) FROM generate_series(1, $3::int) WHERE rule_webhook_call_unified($1, $2) IS NOT NULL"

// away measures what a publish costs a session while NATS is away: it finds that out without
// waiting, and writes the event into the queue in place of sending it.
func (s *setup) away(ctx context.Context, out io.Writer, measure effort) error {
	plain, err := s.registered(ctx, hookName+" queue", "queue")
	if err != nil {
		return err
	}
	one, closeOne, err := s.sessions(ctx, 1)
	if err != nil {
		return err
	}
	defer closeOne()
	if err := one[0].publish(ctx); err != nil {
		return err
	}
	if err := s.nats.Kill(); err != nil {
		return err
	}
	queue := &contender{name: "a row in the queue, no NATS in it: mode 'queue'", loopers: []looper{one[0].calling(plain)}}
	away := &contender{name: "NATS is away: a row of history, and one in the queue", loopers: []looper{one[0].calling(s.webhook)}}
	err = rounds(ctx, measure, func(context.Context) error { return nil }, queue, away)
	if err == nil {
		err = s.allWentToTheQueue(ctx)
	}
	if err = errors.Join(err, s.nats.StartAgain(), s.reconnected(ctx)); err != nil {
		return err
	}

	heading(out, "A publish while NATS is away")
	table(out, []string{"", "µs each", "µs more"}, [][]string{
		{queue.name, queue.each(), "0"},
		{away.name, away.each(), fmt.Sprintf("%.0f", 1e6/away.rates.median()-1e6/queue.rates.median())},
	})
	fmt.Fprintln(out, "\nBoth by rule_webhook_call_unified, in one transaction. The connection was lost before.")
	_, err = s.conn.Exec(ctx, "TRUNCATE rule_webhook_queue")
	return err
}

// calling makes many calls a statement.
func (s *session) calling(webhook int32) looper {
	return batch{s, callMany, []any{webhook, s.payload, together}}
}

// allWentToTheQueue sees that what was measured is what it is called.
func (s *setup) allWentToTheQueue(ctx context.Context) error {
	var rows, failures int
	err := s.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM rule_webhook_queue WHERE webhook_id = $1),
		(SELECT count(*) FROM rule_nats_publish_history WHERE webhook_id = $1 AND NOT success)`, s.webhook).Scan(&rows, &failures)
	if err == nil && (rows == 0 || rows != failures) {
		err = fmt.Errorf("%w: %d rows in the queue, %d failures", errNoFallback, rows, failures)
	}
	return err
}

// reconnected waits until the bench's own client is.
func (s *setup) reconnected(ctx context.Context) error {
	for !s.client.IsConnected() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
