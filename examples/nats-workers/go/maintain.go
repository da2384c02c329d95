package main

import (
	"context"
	"time"
)

// maintainTimeout bounds one round of maintenance: a day of history that a
// database has collected without any takes its time.
const maintainTimeout = 10 * time.Minute

// maintain asks the database to maintain itself until ctx ends. The database
// decides whether that is due; of several workers the first to ask does it.
func (w *worker) maintain(ctx context.Context) {
	for {
		wait, err := w.db.maintain(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.upkeep.say("cannot maintain the database", err.Error())
			wait = time.Minute
		}
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

// maintain makes one call, however long it takes, and answers when to make the next.
func (d *database) maintain(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, maintainTimeout)
	defer cancel()
	schema, err := d.findSchema(ctx)
	if err != nil {
		return 0, err
	}
	var ms int64
	start := time.Now()
	err = d.pool.QueryRow(ctx, `SELECT `+schema+`.rule_worker_maintain($1)`, d.consumer).Scan(&ms)
	if ctx.Err() == nil {
		d.metrics.called("maintain", start, err)
	}
	return time.Duration(ms) * time.Millisecond, err
}
