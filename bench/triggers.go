package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// triggered are the tables that rows are inserted into, in a mode: what follows a table's name is
// what makes its trigger.
var triggered = []struct{ table, name, trigger string }{
	{"bench_row", "rule_webhook_trigger, FOR EACH ROW",
		"CREATE TRIGGER t AFTER INSERT ON %[1]s FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger(%[2]s)"},
	{"bench_statement", "rule_webhook_trigger, FOR EACH STATEMENT",
		"CREATE TRIGGER t AFTER INSERT ON %[1]s REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger(%[2]s)"},
	{"bench_plpgsql", "a trigger in plpgsql, FOR EACH ROW, that calls rule_webhook_call_unified",
		"CREATE TRIGGER t AFTER INSERT ON %[1]s FOR EACH ROW EXECUTE FUNCTION bench_call(%[2]s)"},
}

// callByRow is what one would write without rule_webhook_trigger.
const callByRow = `CREATE OR REPLACE FUNCTION bench_call() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM rule_webhook_call_unified((SELECT webhook_id FROM rule_webhooks WHERE webhook_name = TG_ARGV[0]), to_jsonb(NEW));
		RETURN NULL;
	END $$`

const insertMany = "INSERT INTO %s (kind, note) SELECT 'order.created', repeat('x', 200) FROM generate_series(1, $1::int)"

// triggerCost measures INSERTs of many rows a statement into tables that differ in their trigger.
func (s *setup) triggerCost(ctx context.Context, out io.Writer, measure effort) error {
	one, closeOne, err := s.sessions(ctx, 1)
	if err != nil {
		return err
	}
	defer closeOne()
	inserting := func(table, name string) *contender {
		return &contender{name: name, loopers: []looper{batch{one[0], fmt.Sprintf(insertMany, table), []any{together}}}}
	}
	without := inserting("bench_none", "no trigger")
	contenders := []*contender{without}
	tables := []string{"bench_none"}
	statements := []string{callByRow, createFor("bench_none")}
	for _, mode := range []string{"nats", "queue"} {
		hook := hookName + " rows " + mode
		if _, err := s.registered(ctx, hook, mode); err != nil {
			return err
		}
		for _, t := range triggered {
			table := t.table + "_" + mode
			tables = append(tables, table)
			statements = append(statements, createFor(table), fmt.Sprintf(t.trigger, table, "'"+hook+"'"))
			contenders = append(contenders, inserting(table, "mode '"+mode+"': "+t.name))
		}
	}
	for _, statement := range statements {
		if _, err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	afresh := func(ctx context.Context) error {
		if _, err := s.conn.Exec(ctx, "TRUNCATE rule_webhook_queue, "+strings.Join(tables, ", ")); err != nil {
			return err
		}
		return s.empty(ctx)
	}
	if err := rounds(ctx, measure, afresh, contenders...); err != nil {
		return err
	}
	var failures int
	err = s.conn.QueryRow(ctx, "SELECT count(*) FROM rule_nats_publish_history WHERE NOT success").Scan(&failures)
	if err != nil || failures > 0 {
		return errors.Join(err, fmt.Errorf("%w: %d events of triggers", errNotPublished, failures))
	}
	heading(out, "What a trigger costs a row")
	var rows [][]string
	for i, row := range compared(without, contenders) {
		rows = append(rows, append(row, fmt.Sprintf("%.0f", 1e6/contenders[i].rates.median()-1e6/without.rates.median())))
	}
	table(out, []string{"", "rows per second", "of no trigger", "µs a row", "µs more"}, rows)
	fmt.Fprintf(out, "\nOne session, in one transaction, %d rows an INSERT.\n", together)
	_, err = s.conn.Exec(ctx, "DROP TABLE "+strings.Join(tables, ", "))
	return err
}

func createFor(table string) string {
	return "CREATE TABLE " + table + " (id bigserial PRIMARY KEY, kind text, note text, made_at timestamptz DEFAULT now())"
}

const (
	enqueueMany = "SELECT count(rule_webhook_enqueue($1, $2::jsonb)) FROM generate_series(1, $3::int)"

	// insertQueueRows does row by row what rule_webhook_enqueue does, without looking at anything.
	insertQueueRows = `CREATE FUNCTION pg_temp.insert_queue_rows(integer, jsonb, rows integer) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN 1 .. rows LOOP
				INSERT INTO bench_queue (webhook_id, message_id, payload) VALUES ($1, gen_random_uuid()::text, $2);
			END LOOP;
		END $$`
)

// enqueueCost measures an event into the queue beside a row into a table of its shape.
func (s *setup) enqueueCost(ctx context.Context, out io.Writer, measure effort) error {
	webhook, err := s.registered(ctx, hookName+" enqueue", "queue")
	if err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, "CREATE TABLE bench_queue (LIKE rule_webhook_queue INCLUDING ALL)"); err != nil {
		return err
	}
	one, closeOne, err := s.sessions(ctx, 1, insertQueueRows)
	if err != nil {
		return err
	}
	defer closeOne()
	args := []any{webhook, s.payload, together}
	plain := &contender{name: "an INSERT into a table of the queue's shape", loopers: []looper{batch{one[0], "SELECT pg_temp.insert_queue_rows($1, $2, $3)", args}}}
	contenders := []*contender{plain, {name: "rule_webhook_enqueue", loopers: []looper{batch{one[0], enqueueMany, args}}}}
	afresh := func(ctx context.Context) error {
		_, err := s.conn.Exec(ctx, "TRUNCATE rule_webhook_queue, bench_queue")
		return err
	}
	if err := rounds(ctx, measure, afresh, contenders...); err != nil {
		return err
	}
	heading(out, "What the queue costs an event")
	table(out, []string{"", "per second", "of the INSERT", "µs each"}, compared(plain, contenders))
	fmt.Fprintf(out, "\nOne session, in one transaction, %d a statement, each by itself. The table has the queue's indexes and constraints.\n", together)
	_, err = s.conn.Exec(ctx, "TRUNCATE rule_webhook_queue; DROP TABLE bench_queue")
	return err
}
