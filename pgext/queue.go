package main

// A queue row's way out (rule_webhook_queue.route).
const (
	routePost    = "post"    // to the endpoint
	routePublish = "publish" // to NATS again
	routeStream  = "stream"  // the stream has it; the queue steps in when it is late
)

// streamGraceSeconds is how long the queue path leaves an event of mode 'both'
// to the stream path.
const streamGraceSeconds = 30

var (
	insertQueue = insertEvent("", "")
	// The value that orders the event is of the payload. Version 0.1.0 has no column for it.
	insertOrdered = insertEvent(", order_key", `,
		              $SCHEMA._rule_order_value($3 OPERATOR(pg_catalog.#>>)
		                  (SELECT w.order_key FROM $SCHEMA.rule_webhooks w WHERE w.webhook_id OPERATOR(pg_catalog.=) $1))`)
	findQueue = statement{
		sql: `SELECT q.queue_id, q.status FROM $SCHEMA.rule_webhook_queue q
		      WHERE q.webhook_id OPERATOR(pg_catalog.=) $1 AND q.message_id OPERATOR(pg_catalog.=) $2
		            AND q.redelivery OPERATOR(pg_catalog.=) 0`,
		kinds: []kind{kindInt4, kindText}, see: latestSnapshot,
	}
	askQueue = statement{
		sql:   `SELECT $SCHEMA._rule_queue_full($1, pg_catalog.pg_column_size($2))`,
		kinds: []kind{kindInt4, kindPayload}, see: activeSnapshot,
	}
)

// insertEvent makes a row of the queue, with one more column perhaps.
func insertEvent(column, value string) statement {
	return statement{
		sql: `INSERT INTO $SCHEMA.rule_webhook_queue
		      (webhook_id, message_id, payload, route, next_retry_at, created_by` + column + `)
		      VALUES ($1, $2, $3, $4,
		              pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => $5), $6` + value + `)
		      ON CONFLICT (webhook_id, message_id, redelivery) DO NOTHING
		      RETURNING queue_id, status`,
		kinds: []kind{kindInt4, kindText, kindPayload, kindText, kindFloat8, kindText}, see: activeSnapshot,
	}
}

// room says in the event why the queue, which has a limit, has no room for it.
// One that the queue has under its id needs none.
func (e *engine) room(ev *event) error {
	limits, err := e.settings()
	if err != nil || !ev.webhook.limited && !limits.limited {
		return err
	}
	row, err := e.row(&askQueue, integer(ev.webhook.id), payload(ev.payloadHandle))
	if err != nil {
		return err
	}
	var full string
	if err := scan(row, &full); err != nil || full == "" {
		return err
	}
	if ev.named {
		if row, err = e.row(&findQueue, integer(ev.webhook.id), text(ev.messageID)); err != nil || row != nil {
			return err
		}
	}
	ev.queueFull = full
	return nil
}

// enqueue puts the event into the queue, or finds it there under its id. A queue
// that is full leaves its reason in the event.
func (e *engine) enqueue(c call, ev *event, route string) error {
	if err := e.room(ev); err != nil || ev.queueFull != "" {
		return err
	}
	grace := 0.0
	if route == routeStream {
		grace = streamGraceSeconds
	}
	insert := &insertQueue
	if ev.webhook.ordered && route == routePost {
		insert = &insertOrdered
	}
	row, err := e.row(insert, integer(ev.webhook.id), text(ev.messageID),
		payload(ev.payloadHandle), text(route), float(grace), text(c.caller))
	if err == nil && row == nil {
		ev.queuedBefore = true
		row, err = e.row(&findQueue, integer(ev.webhook.id), text(ev.messageID))
	}
	if err != nil {
		return err
	}
	if row == nil {
		return mistake("40001", "Try the transaction again.",
			"the queue row of message %q went away meanwhile", ev.messageID)
	}
	return scan(row, &ev.queueID, &ev.queueStatus)
}
