package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/test/system"
)

func (d *demo) steps() []func(*demo) error {
	return []func(*demo) error{
		(*demo).register, (*demo).insert, (*demo).deliver, (*demo).rollBack,
		(*demo).recover, (*demo).redeliver, (*demo).hold, (*demo).share, (*demo).outage, (*demo).lookBack,
	}
}

func (d *demo) register() error {
	d.title("A webhook: where it goes, its signing secret, and that it travels through NATS")
	rows, err := d.sql(d.admin, fmt.Sprintf("SELECT rule_webhook_register('orders', '%s/orders');", d.Endpoint.URL()))
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(rows[0][0], &d.webhook); err != nil {
		return err
	}
	// No try is to fail because a machine stands still.
	if _, err := d.admin.Exec(d.ctx, "UPDATE rule_webhooks SET timeout_ms = 60000"); err != nil {
		return err
	}
	rows, err = d.sql(d.admin, fmt.Sprintf("SELECT rule_webhook_secret_set(%d, 'signing');", d.webhook))
	if err != nil {
		return err
	}
	d.Endpoint.AddSecret(rows[0][0])
	_, err = d.sql(d.admin, fmt.Sprintf("SELECT rule_webhook_enable_nats(%d, p_publish_mode => 'nats');", d.webhook))
	return err
}

func (d *demo) insert() error {
	d.title("A trigger publishes each row; the application may publish and no more")
	for _, statement := range []string{
		"CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, item text);\nGRANT INSERT ON orders TO application;",
		fmt.Sprintf(`CREATE FUNCTION orders_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rule_webhook_call_unified(%d, to_jsonb(NEW), 'order-' || NEW.id);
    RETURN NULL;
END $$;`, d.webhook),
		"CREATE TRIGGER orders_tell AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION orders_tell();",
	} {
		if _, err := d.sql(d.admin, statement); err != nil {
			return err
		}
	}
	if _, err := d.sql(d.application, "INSERT INTO orders (item) VALUES ('book'), ('lamp'), ('chair');"); err != nil {
		return err
	}
	return d.inStream(3)
}

// inStream prints what the stream holds.
func (d *demo) inStream(want uint64) error {
	conn, err := nats.Connect(d.NATS.URL())
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	stream, err := js.Stream(d.ctx, system.Stream)
	if err != nil {
		return err
	}
	info, err := stream.Info(d.ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return err
	}
	for subject, n := range info.State.Subjects {
		d.line("  nats: stream %s holds %d events on %s, sequences %d to %d", system.Stream, n, subject, info.State.FirstSeq, info.State.LastSeq)
	}
	if info.State.Msgs != want {
		return fmt.Errorf("the stream holds %d events, not %d", info.State.Msgs, want)
	}
	return nil
}

func (d *demo) deliver() error {
	d.title("A worker starts; its login may carry events and no more")
	if err := d.startWorker("worker-1"); err != nil {
		return err
	}
	return d.arrive("order-1", "order-2", "order-3")
}

func (d *demo) rollBack() error {
	d.title("What rolls back is never delivered, though it was in the stream")
	for _, statement := range []string{
		"BEGIN; INSERT INTO orders (item) VALUES ('a mistake'); ROLLBACK;",
		"BEGIN; SAVEPOINT s; INSERT INTO orders (item) VALUES ('half a mistake'); ROLLBACK TO s;\nINSERT INTO orders (item) VALUES ('vase'); COMMIT;",
	} {
		if _, err := d.sql(d.application, statement); err != nil {
			return err
		}
	}
	if err := d.arrive("order-6"); err != nil {
		return err
	}
	rows, err := d.until(many(2), d.admin, "SELECT message_id, transaction, reason FROM rule_webhook_drops ORDER BY message_id;")
	if err != nil {
		return err
	}
	for i, id := range []string{"order-4", "order-5"} {
		if rows[i][0] != id || rows[i][2] != "rolled back" {
			return fmt.Errorf("%s was left out because %s, not %s because it rolled back", rows[i][0], rows[i][2], id)
		}
	}
	return nil
}

func (d *demo) outage() error {
	d.title("NATS stops: the INSERT goes on, the event waits in the queue of its own transaction")
	table := fmt.Sprintf("order-%d", firstShared+shared)
	d.NATS.Stop()
	began := time.Now()
	if _, err := d.sql(d.application, "INSERT INTO orders (item) VALUES ('table');"); err != nil {
		return err
	}
	d.line("     INSERT 0 1, %d ms", time.Since(began).Milliseconds())
	_, err := d.until(these([]string{table, "pending", "publish"}), d.admin,
		"SELECT message_id, status, route FROM rule_webhook_queue WHERE status = 'pending';")
	if err != nil {
		return err
	}
	d.title("NATS is back")
	if err := d.NATS.StartAgain(); err != nil {
		return err
	}
	return d.arrive(table)
}

func (d *demo) lookBack() error {
	d.title("History and health, in SQL")
	committed := 4 + 3 + shared + 1
	delivered := strconv.Itoa(committed)
	// Twice 503 and once 400 were tried again; 400 once more was the end, until it was redelivered.
	_, err := d.until(these([]string{"again", "2", "3"}, []string{"dead", "1", "1"}, []string{"delivered", delivered, delivered}), d.admin,
		`SELECT outcome, count(DISTINCT message_id) AS events, count(*) AS tries FROM rule_webhook_attempts
GROUP BY outcome ORDER BY outcome;`)
	if err != nil {
		return err
	}
	rows, err := d.sql(d.admin, "SELECT webhook_name, total_published, successful, failed FROM nats_publish_summary;")
	if err != nil {
		return err
	}
	// All calls that committed but one reached the stream at once, and the outage is told.
	if len(rows) != 1 || !slices.Equal(rows[0], []string{"orders", delivered, strconv.Itoa(committed - 1), "1"}) {
		return fmt.Errorf("the history says %v", rows)
	}
	rows, err = d.sql(d.admin, "SELECT rule_nats_health_check();")
	if err != nil {
		return err
	}
	var health struct{ Success, Connected bool }
	if err := json.Unmarshal([]byte(rows[0][0]), &health); err != nil || !health.Success || !health.Connected {
		return fmt.Errorf("the health check says %s", rows[0][0])
	}
	if log := d.Postgres.LogText(); strings.Contains(log, "PANIC") || strings.Contains(log, "terminated by signal") {
		return fmt.Errorf("the server's log:\n%s", d.Postgres.LogTail(20))
	}
	if n := len(d.Endpoint.Requests()); n != d.shown {
		return fmt.Errorf("%d webhooks arrived and %d were shown", n, d.shown)
	}
	d.line("\nDelivered once each: %s. Rolled back and never delivered: 2.", delivered)
	return nil
}
