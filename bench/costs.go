package main

import (
	"context"
	"errors"
	"time"
)

var errNotDisabled = errors.New("a disabled webhook took an event")

const (
	// insertRow is the INSERT that a publish makes.
	insertRow = `INSERT INTO rule_nats_publish_history
		(webhook_id, subject, payload, message_id, sequence_number, success, error_message, latency_ms, triggered_by,
		 transaction, unknown, duplicate)
		VALUES ($1, 'webhooks.bench', $2, gen_random_uuid()::text, 1, true, NULL, 0.2, 'postgres',
		        pg_current_xact_id(), false, false)`

	// insertRows times it as a publish runs it: from within the backend, with a plan that is kept.
	insertRows = `CREATE FUNCTION pg_temp.insert_rows(integer, jsonb, rows integer, pause float8) RETURNS float8
		LANGUAGE plpgsql AS $$
		DECLARE
			began timestamptz;
			took interval := '0';
		BEGIN
			FOR i IN 1 .. rows LOOP
				IF pause > 0 THEN
					PERFORM pg_sleep(pause);
				END IF;
				began := clock_timestamp();
				` + insertRow + `;
				took := took + (clock_timestamp() - began);
			END LOOP;
			RETURN extract(epoch FROM took) * 1e6 / rows;
		END $$`
)

// costs are what the parts of a publish cost by themselves.
type costs struct {
	insertHot, insertPaused float64    // µs
	nothing                 *contender // a call that sends nothing
	trip, loose, committed  *contender
}

func (s *setup) costs(ctx context.Context, measure effort) (*costs, error) {
	firm, closeFirm, err := s.sessions(ctx, 1, insertRows)
	if err != nil {
		return nil, err
	}
	defer closeFirm()
	loose, closeLoose, err := s.sessions(ctx, 1, "SET synchronous_commit = off")
	if err != nil {
		return nil, err
	}
	defer closeLoose()

	off, err := s.disabledWebhook(ctx)
	if err != nil {
		return nil, err
	}
	c := &costs{
		nothing:   &contender{loopers: []looper{disabled{firm[0], off}}},
		trip:      &contender{loopers: []looper{statement{firm[0], "SELECT 1", nil}}},
		loose:     &contender{loopers: []looper{statement{loose[0], insertRow, []any{s.webhook, s.payload}}}},
		committed: &contender{loopers: []looper{statement{firm[0], insertRow, []any{s.webhook, s.payload}}}},
	}
	rows := int(1500 * measure.slice / full.slice)
	if c.insertHot, err = firm[0].insertRows(ctx, 10*rows, 0); err != nil {
		return nil, err
	}
	if c.insertPaused, err = firm[0].insertRows(ctx, rows, 0.001); err != nil {
		return nil, err
	}
	less := measure
	less.slice = measure.slice / 3
	asItIs := func(context.Context) error { return nil }
	return c, rounds(ctx, less, asItIs, c.nothing, c.trip, c.loose, c.committed)
}

// disabledWebhook registers one that the operator has disabled: a publish to it reads the payload,
// finds the webhook and answers, and neither sends nor writes.
func (s *setup) disabledWebhook(ctx context.Context) (id int32, err error) {
	if id, err = s.registered(ctx, hookName+" off", "nats"); err != nil {
		return 0, err
	}
	_, err = s.conn.Exec(ctx, "SELECT rule_webhook_update($1, p_enabled => false)", id)
	return id, err
}

// disabled calls for such a webhook, many times a statement.
type disabled struct {
	*session
	webhook int32
}

func (d disabled) work(ctx context.Context, until time.Time) (n int, err error) {
	const calls = 1000
	for ; time.Now().Before(until); n += calls {
		var published int
		if err := d.conn.QueryRow(ctx, publishMany, d.webhook, d.payload, calls).Scan(&published); err != nil {
			return n, err
		}
		if published != 0 {
			return n, errNotDisabled
		}
	}
	return n, nil
}

// insertRows gives the µs of one INSERT; the rows are not kept.
func (s *session) insertRows(ctx context.Context, rows int, pause float64) (us float64, err error) {
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, "SELECT pg_temp.insert_rows($1, $2, $3, $4)", s.webhook, s.payload, rows, pause).Scan(&us)
	return us, errors.Join(err, tx.Rollback(ctx))
}
