package main

import (
	"log/slog"
	"time"
)

// mostOff is how far the clock here may be from Postgres' before it is worth a line.
const mostOff = time.Minute

// clockWatch says when the clock by which requests are stamped is not Postgres',
// once until it is again. Whose is wrong is for a person to tell.
type clockWatch struct{ off bool }

// look is told how far the clock here is ahead of Postgres', and of NATS' (0:
// not known).
func (c *clockWatch) look(postgres, nats time.Duration) {
	off := postgres.Abs() > mostOff
	switch {
	case off && !c.off:
		facts := []any{"seconds_ahead_of_postgres", seconds(postgres)}
		if nats != 0 {
			facts = append(facts, "seconds_ahead_of_nats", seconds(nats))
		}
		slog.Warn("the clock here is not postgres'; receivers refuse a webhook-timestamp that is five minutes off", facts...)
	case !off && c.off:
		slog.Info("the clock here is postgres' again")
	}
	c.off = off
}

func seconds(d time.Duration) int64 { return int64(d.Round(time.Second) / time.Second) }
