package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// cost measures what history and roll-ups add to a publish, and triggers and the queue to an INSERT.
func (s *setup) cost(ctx context.Context, out io.Writer, measure effort) error {
	if err := s.historyCost(ctx, out, measure); err != nil {
		return err
	}
	if err := s.triggerCost(ctx, out, measure); err != nil {
		return err
	}
	return s.enqueueCost(ctx, out, measure)
}

// withoutRollUps takes away all of the publish history that serves nothing but the views.
var withoutRollUps = []string{
	"DROP INDEX rule_nats_publish_history_failed_idx",
	"DROP TRIGGER rule_nats_publish_history_deleted ON rule_nats_publish_history",
	"DROP TRIGGER rule_nats_publish_history_truncated ON rule_nats_publish_history",
}

// historyCost measures one session that publishes, with one thing less each time.
func (s *setup) historyCost(ctx context.Context, out io.Writer, measure effort) (err error) {
	bare, drop, err := s.beside(ctx, database+"_bare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	for _, statement := range withoutRollUps {
		if _, err := bare.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	short := *s
	if short.webhook, err = s.registered(ctx, hookName+" short", "nats"); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, "UPDATE rule_webhooks SET store_payload = false WHERE webhook_id = $1", short.webhook); err != nil {
		return err
	}

	publishers, endPublishers, err := s.publisherProcesses(1, s.nats.URL())
	if err != nil {
		return err
	}
	defer endPublishers()
	one, closeOne, err := s.sessions(ctx, 1, insertRows)
	if err != nil {
		return err
	}
	defer closeOne()
	other, closeOther, err := bare.sessions(ctx, 1)
	if err != nil {
		return err
	}
	defer closeOther()
	full := &contender{name: "as it is", loopers: []looper{transaction{one[0]}}}
	contenders := []*contender{
		full,
		{name: "without the payload in the history: store_payload = false", loopers: []looper{transaction{&session{&short, one[0].conn}}}},
		{name: "without the index and the triggers of the roll-ups, in another database", loopers: []looper{transaction{other[0]}}},
		{name: "no history and no Postgres: " + plainName, loopers: publishers},
		{name: "the row of history alone, by a statement that is prepared",
			loopers: []looper{batch{one[0], "SELECT pg_temp.insert_rows($1, $2, $3, 0)", []any{s.webhook, s.payload, together}}}},
	}
	both := func(ctx context.Context) error { return errors.Join(s.empty(ctx), bare.empty(ctx)) }
	if err := rounds(ctx, measure, both, contenders...); err != nil {
		return err
	}
	heading(out, "What history and roll-ups cost a publish")
	table(out, []string{"", "per second", "of a publish as it is", "µs each"}, compared(full, contenders))
	fmt.Fprintln(out, "\nOne session, in one transaction. The row alone finds its caches hot, as a publish that waited for NATS does not.")
	return nil
}

// registered makes a webhook in a mode.
func (s *setup) registered(ctx context.Context, name, mode string) (id int32, err error) {
	if err = s.conn.QueryRow(ctx, "SELECT rule_webhook_register($1, $2)", name, s.target.url).Scan(&id); err != nil {
		return 0, err
	}
	if mode != "queue" {
		_, err = s.conn.Exec(ctx, "SELECT rule_webhook_enable_nats($1, $2, $3)", id, s.subject, mode)
	}
	return id, err
}

// compared are the rows of a table of contenders, each beside one of them.
func compared(with *contender, contenders []*contender) (rows [][]string) {
	for _, c := range contenders {
		rows = append(rows, []string{c.name, c.rates.show("%.0f"), c.rates.per(with.rates).show("%.2f"), c.each()})
	}
	return rows
}
