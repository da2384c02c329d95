package main

import "rule_engine/nats"

var (
	insertHistory = statement{
		sql: `INSERT INTO $SCHEMA.rule_nats_publish_history
		      (webhook_id, subject, payload, message_id, sequence_number, success, error_message, latency_ms,
		       triggered_by, transaction, unknown, duplicate)
		      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		kinds: []kind{kindInt4, kindText, kindPayload, kindText, kindInt8, kindBool, kindText, kindFloat8,
			kindText, kindXID8, kindBool, kindBool},
		see: activeSnapshot,
	}
	// An unknown publish explains nothing: the copy in the stream may be another's.
	findHistory = statement{
		sql: `SELECT h.sequence_number FROM $SCHEMA.rule_nats_publish_history h
		      WHERE h.webhook_id OPERATOR(pg_catalog.=) $1 AND h.message_id OPERATOR(pg_catalog.=) $2 AND h.success
		      ORDER BY h.publish_id DESC LIMIT 1`,
		kinds: []kind{kindInt4, kindText}, see: latestSnapshot,
	}
)

// explained tells whether a publish that committed, or an earlier one of this
// transaction, took the event's message id; then its message is the event's.
func (e *engine) explained(ev *event) (bool, error) {
	row, err := e.row(&findHistory, integer(ev.webhook.id), text(ev.messageID))
	if err != nil || row == nil {
		return false, err
	}
	return true, scan(row, &ev.outcome.Sequence)
}

// record writes the event's row of history.
func (e *engine) record(c call, ev *event) error {
	stored := payload(ev.payloadHandle)
	stored.null = !ev.webhook.storePayload
	sequence := bigint(int64(ev.outcome.Sequence))
	sequence.null = ev.outcome.Sequence == 0
	by := c.caller
	switch {
	case c.table != "":
		by += " (trigger on " + c.table + ")"
	case c.inTrigger:
		by += " (trigger)"
	}
	_, err := e.run(&insertHistory,
		integer(ev.webhook.id), text(ev.webhook.subject), stored, text(ev.messageID), sequence,
		boolean(ev.outcome.Kind == nats.Acked), textOrNull(ev.outcome.Text), float(ev.latencyMS()), text(by),
		xid8(c.transaction), boolean(ev.outcome.Kind == nats.Unknown), boolean(ev.outcome.Duplicate))
	return err
}
