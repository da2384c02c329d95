package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
)

// viewsDatabase holds the rows that the views are timed over, apart from what the other parts publish.
const viewsDatabase = "bench_views"

// fillViews puts $1 rows of seven days and a hundred webhooks into history and attempts.
var fillViews = []string{
	`INSERT INTO rule_nats_publish_history (webhook_id, subject, published_at, message_id, sequence_number, success,
			error_message, latency_ms, triggered_by, transaction, slot)
		SELECT 1 + n % 100, 'webhooks.' || 1 + n % 100, at, n::text, n, n % 1000 <> 0,
			CASE n % 1000 WHEN 0 THEN 'no responders' END, round((0.2 * exp(4 * random()))::numeric, 3), 'app', '77',
			extract(epoch FROM at)::bigint / 86400 % 10
		FROM (SELECT n, now() - interval '7 days' + n * (interval '7 days' / $1::bigint) AS at FROM generate_series(1, $1::bigint) n) r`,
	`INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, duration_ms, status, outcome, slot)
		SELECT 1 + n % 100, n::text, 1, 'stream', 'w', at, exp(6 * random()), 200,
			CASE n % 100 WHEN 0 THEN 'again' ELSE 'delivered' END, extract(epoch FROM at)::bigint / 86400 % 10
		FROM (SELECT n, now() - interval '7 days' + n * (interval '7 days' / $1::bigint) AS at FROM generate_series(1, $1::bigint) n) r`,
}

// comparison is a view beside the same numbers, taken from the rows.
type comparison struct{ view, rows string }

var comparisons = []comparison{
	{"nats_publish_summary", `SELECT webhook_id, count(*), count(*) FILTER (WHERE success), avg(latency_ms), min(latency_ms),
		max(latency_ms), max(published_at) FROM rule_nats_publish_history GROUP BY webhook_id`},
	{"nats_performance_stats", `SELECT webhook_id, subject, count(*), avg(latency_ms), min(latency_ms), max(latency_ms),
		percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms) FROM rule_nats_publish_history
		WHERE success AND published_at > now() - interval '24 hours' GROUP BY webhook_id, subject`},
	// Said so that the index of failures does not serve it.
	{"nats_recent_failures", `SELECT * FROM rule_nats_publish_history
		WHERE success IS FALSE AND published_at > now() - interval '24 hours' ORDER BY published_at DESC`},
	{"webhook_status_summary", `SELECT webhook_id, count(*) FILTER (WHERE outcome = 'delivered'), avg(duration_ms), max(started_at)
		FROM rule_webhook_attempts GROUP BY webhook_id`},
	{"webhook_performance_stats", `SELECT webhook_id, count(*), avg(duration_ms), min(duration_ms), max(duration_ms),
		percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_ms) FROM rule_webhook_attempts GROUP BY webhook_id`},
}

// views times the views over rolled-up rows beside the same aggregates over the rows themselves.
func (s *setup) views(ctx context.Context, out io.Writer, measure effort) (err error) {
	if _, err := s.conn.Exec(ctx, "CREATE DATABASE "+viewsDatabase); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.cluster.DSN(viewsDatabase, "postgres"))
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Close(ctx)
		_, dropped := s.conn.Exec(ctx, "DROP DATABASE "+viewsDatabase)
		err = errors.Join(err, dropped)
	}()
	filling, err := seconds(func() error { return fillForViews(ctx, conn, measure.rows) })
	if err != nil {
		return err
	}
	rolling, err := seconds(func() error { return maintainAll(ctx, conn) })
	if err != nil {
		return err
	}

	var rows [][]string
	for _, c := range comparisons {
		var quick, slow figures
		if err := timed(ctx, conn, "SELECT * FROM "+c.view, 1, &figures{}); err != nil {
			return err
		}
		if err := timed(ctx, conn, "SELECT * FROM "+c.view, measure.rounds, &quick); err != nil {
			return err
		}
		if err := timed(ctx, conn, c.rows, 1, &slow); err != nil {
			return err
		}
		rows = append(rows, []string{c.view, quick.show("%.1f"), slow.show("%.0f"), fmt.Sprintf("%.0f", slow.median()/quick.median())})
	}
	heading(out, fmt.Sprintf("Views at %d rows", measure.rows))
	table(out, []string{"", "view, ms", "over the rows, ms", "rows to view"}, rows)
	fmt.Fprintf(out, "\nHistory and attempts have %d rows each, of 7 days and 100 webhooks. Median of %d reads (lowest to highest); over the rows, one. Filling took %.0f s, rolling up %.0f s.\n",
		measure.rows, measure.rounds, filling, rolling)
	return nil
}

func fillForViews(ctx context.Context, conn *pgx.Conn, rows int) error {
	for _, statement := range []string{
		"CREATE EXTENSION rule_engine",
		"SELECT count(rule_webhook_register('hook ' || n, 'https://example.com/' || n)) FROM generate_series(1, 100) n",
		"UPDATE rule_webhooks SET nats_enabled = true, nats_subject = 'webhooks.' || webhook_id",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for _, statement := range fillViews {
		if _, err := conn.Exec(ctx, statement, rows); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// maintainAll calls maintenance until it has rolled up every row.
func maintainAll(ctx context.Context, conn *pgx.Conn) error {
	for left := true; left; {
		if _, err := conn.Exec(ctx, "SELECT rule_engine_maintain()"); err != nil {
			return err
		}
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rule_nats_publish_history WHERE publish_id > h.rolled_up_to)
			OR EXISTS (SELECT FROM rule_webhook_attempts WHERE attempt_id > a.rolled_up_to)
			FROM rule_engine_upkeep h, rule_engine_upkeep a
			WHERE h.table_name = 'rule_nats_publish_history' AND a.table_name = 'rule_webhook_attempts'`).Scan(&left)
		if err != nil {
			return err
		}
	}
	return nil
}

// timed reads all that a query gives, so many times, and notes the ms.
func timed(ctx context.Context, conn *pgx.Conn, query string, times int, to *figures) error {
	for range times {
		took, err := seconds(func() error {
			_, err := conn.Exec(ctx, query)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		*to = append(*to, took*1000)
	}
	return nil
}

func seconds(do func() error) (float64, error) {
	began := time.Now()
	err := do()
	return time.Since(began).Seconds(), err
}
