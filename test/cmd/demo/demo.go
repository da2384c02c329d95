package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"rule_engine/test/endpoint"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// patience bounds each wait of the demo; what it waits for takes milliseconds, where nothing else goes on.
const patience = time.Minute

// A demo is one showing.
type demo struct {
	*system.System
	ctx context.Context
	out io.Writer

	admin, application *pgx.Conn
	workers            []*worker.Process
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
	for _, w := range d.workers {
		_ = w.Remove()
	}
}

// arrive waits for so many more webhooks and prints them. Each must be signed, and the ids must be
// these, in any order.
func (d *demo) arrive(ids ...string) error {
	requests, err := d.arrived(ids...)
	for _, r := range requests {
		d.line("  arrived: %s %s  %-8s  signature verified  %s  answered %d", r.Method, r.Path, r.ID(), r.Body, r.Status)
	}
	return err
}

// arrived is arrive for what is not printed one by one.
func (d *demo) arrived(ids ...string) ([]endpoint.Request, error) {
	requests := d.await(d.shown + len(ids))[d.shown:]
	d.shown += len(requests)
	missing := slices.Clone(ids)
	for _, r := range requests {
		if r.Signature != nil {
			return requests, fmt.Errorf("webhook %s: %w", r.ID(), r.Signature)
		}
		i := slices.Index(missing, r.ID())
		if i < 0 {
			return requests, fmt.Errorf("webhook %s should not have arrived", r.ID())
		}
		missing = slices.Delete(missing, i, i+1)
	}
	if len(missing) > 0 {
		return requests, fmt.Errorf("%d webhooks have not arrived", len(missing))
	}
	return requests, nil
}

func (d *demo) await(n int) []endpoint.Request {
	for deadline := time.Now().Add(patience); ; {
		requests := d.Endpoint.Await(n, 50*time.Millisecond)
		if len(requests) >= n || d.ctx.Err() != nil || time.Now().After(deadline) {
			return requests
		}
	}
}
