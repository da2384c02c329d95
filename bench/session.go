package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

var errNotPublished = errors.New("a publish did not succeed")

// What a session runs, each as a prepared statement.
const (
	publishOne  = "SELECT (rule_webhook_publish_nats($1, $2)->>'success')::bool"
	publishMany = "SELECT count(*) FROM generate_series(1, $3::int) WHERE (rule_webhook_publish_nats($1, $2)->>'success')::bool"
)

// session is one SQL session.
type session struct {
	*setup
	conn *pgx.Conn
}

// sessions opens n of them; close ends them all.
func (s *setup) sessions(ctx context.Context, n int, settings ...string) (all []*session, close func(), err error) {
	close = func() {
		for _, one := range all {
			_ = one.conn.Close(ctx)
		}
	}
	for range n {
		conn, err := s.connect(ctx)
		if err != nil {
			close()
			return nil, nil, err
		}
		all = append(all, &session{s, conn})
		for _, setting := range settings {
			if _, err := conn.Exec(ctx, setting); err != nil {
				close()
				return nil, nil, err
			}
		}
	}
	return all, close, nil
}

// publish is one publish in a transaction of its own.
func (s *session) publish(ctx context.Context) error {
	var ok bool
	if err := s.conn.QueryRow(ctx, publishOne, s.webhook, s.payload).Scan(&ok); err != nil {
		return err
	}
	if !ok {
		return s.whyNot(ctx)
	}
	return nil
}

// publishTogether makes n publishes by one statement.
func (s *session) publishTogether(ctx context.Context, n int) error {
	var published int
	if err := s.conn.QueryRow(ctx, publishMany, s.webhook, s.payload, n).Scan(&published); err != nil {
		return err
	}
	if published != n {
		return s.whyNot(ctx)
	}
	return nil
}

func (s *session) whyNot(ctx context.Context) error {
	var why string
	err := s.conn.QueryRow(ctx, `SELECT error_message FROM rule_nats_publish_history WHERE NOT success
			ORDER BY publish_id DESC LIMIT 1`).Scan(&why)
	return errors.Join(fmt.Errorf("%w: %s", errNotPublished, why), err)
}

// autocommit publishes one event a transaction.
type autocommit struct{ *session }

func (a autocommit) work(ctx context.Context, until time.Time) (n int, err error) {
	for ; time.Now().Before(until); n++ {
		if err := a.publish(ctx); err != nil {
			return n, err
		}
	}
	return n, nil
}

// transaction publishes within one transaction, by statements that publish so many events that the
// way between client and server hardly counts.
type transaction struct{ *session }

const together = 50

func (t transaction) work(ctx context.Context, until time.Time) (n int, err error) {
	tx, err := t.conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	for ; time.Now().Before(until); n += together {
		if err := t.publishTogether(ctx, together); err != nil {
			return n, errors.Join(err, tx.Rollback(ctx))
		}
	}
	return n, tx.Commit(ctx)
}

// statement runs one statement again and again, each in a transaction of its own.
type statement struct {
	*session
	sql  string
	args []any
}

func (s statement) work(ctx context.Context, until time.Time) (n int, err error) {
	for ; time.Now().Before(until); n++ {
		if _, err := s.conn.Exec(ctx, s.sql, s.args...); err != nil {
			return n, err
		}
	}
	return n, nil
}

// batch runs a statement that does a thing so many times as together says, again and again within one
// transaction.
type batch struct {
	*session
	sql  string
	args []any
}

func (b batch) work(ctx context.Context, until time.Time) (n int, err error) {
	tx, err := b.conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	for ; time.Now().Before(until); n += together {
		if _, err := b.conn.Exec(ctx, b.sql, b.args...); err != nil {
			return n, errors.Join(err, tx.Rollback(ctx))
		}
	}
	return n, tx.Commit(ctx)
}
