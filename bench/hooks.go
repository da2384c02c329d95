package main

import "context"

// hooks registers n webhooks that publish to NATS, whose URLs end alike.
func (s *setup) hooks(ctx context.Context, name string, n int) (ids []int32, err error) {
	err = s.conn.QueryRow(ctx, `SELECT array_agg(rule_webhook_register($1::text || ' ' || n, $2::text)) FROM generate_series(1, $3::int) n`,
		name, s.target.url+name, n).Scan(&ids)
	if err == nil {
		_, err = s.conn.Exec(ctx, "SELECT rule_webhook_secret_set(id, 'bench'), rule_webhook_enable_nats(id, $2, 'nats') FROM unnest($1::int[]) id",
			ids, s.subject)
	}
	return ids, err
}

// clear forgets what waits and what endpoints did.
func (s *setup) clear(ctx context.Context) error {
	if err := s.empty(ctx); err != nil {
		return err
	}
	_, err := s.conn.Exec(ctx, "TRUNCATE rule_webhook_queue, rule_webhook_receipts, rule_webhook_endpoints")
	return err
}

// fillStream publishes n events of one webhook from SQL.
func (s *setup) fillStream(ctx context.Context, webhook int32, n int) error {
	of := *s
	of.webhook = webhook
	return of.fill(ctx, n)
}

// fillQueue lets n events of one webhook wait in the queue.
func (s *setup) fillQueue(ctx context.Context, webhook int32, n int) error {
	_, err := s.conn.Exec(ctx, "SELECT count(rule_webhook_enqueue($1, $2)) FROM generate_series(1, $3::int)", webhook, s.payload, n)
	if err == nil {
		_, err = s.conn.Exec(ctx, "VACUUM ANALYZE rule_webhook_queue")
	}
	return err
}
