package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"rule_engine/test/endpoint"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// patience bounds each wait of the demo; what it waits for takes milliseconds.
const patience = 20 * time.Second

// A demo is one showing.
type demo struct {
	*system.System
	ctx context.Context
	out io.Writer

	admin, application *pgx.Conn
	worker             *worker.Process
	webhook            int32
	shown              int // requests of the endpoint that were printed
}

func (d *demo) connect() (err error) {
	if d.admin, err = pgx.Connect(d.ctx, d.Postgres.DSN(system.Database, system.Administrator)); err != nil {
		return err
	}
	d.application, err = pgx.Connect(d.ctx, d.Postgres.DSN(system.Database, system.Application))
	return err
}

func (d *demo) close() {
	for _, conn := range []*pgx.Conn{d.admin, d.application} {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}
	if d.worker != nil {
		_ = d.worker.Remove()
	}
}

// arrive waits for so many more webhooks and prints them. Each must be signed, and the ids must be
// these, in any order.
func (d *demo) arrive(ids ...string) error {
	requests := d.await(d.shown + len(ids))[d.shown:]
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	for _, r := range requests {
		if r.Signature != nil {
			return fmt.Errorf("webhook %s: %w", r.ID(), r.Signature)
		}
		d.line("  arrived: %s %s  %-8s signature verified  %s", r.Method, r.Path, r.ID(), r.Body)
		if !missing[r.ID()] {
			return fmt.Errorf("webhook %s should not have arrived", r.ID())
		}
		delete(missing, r.ID())
	}
	d.shown += len(requests)
	if len(missing) > 0 {
		return fmt.Errorf("%d webhooks have not arrived", len(missing))
	}
	return nil
}

func (d *demo) await(n int) []endpoint.Request {
	for deadline := time.Now().Add(patience); ; {
		requests := d.Endpoint.Await(n, 50*time.Millisecond)
		if len(requests) >= n || d.ctx.Err() != nil || time.Now().After(deadline) {
			return requests
		}
	}
}
