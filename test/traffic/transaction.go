package traffic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A kind is how a transaction ends.
type kind int

const (
	commits kind = iota
	rollsBack
	// savepoint publishes a second event, which rolls back alone.
	savepoint
	// cancelled has a statement_timeout that its publish can run into.
	cancelled
)

func kindOf(n int) kind {
	switch n % 8 {
	case 3:
		return rollsBack
	case 5:
		return savepoint
	case 7:
		return cancelled
	}
	return commits
}

const undone = "-undone"

// transaction publishes an event, and ends as its kind says. An error is one of the connection or
// of ours; a publish that NATS did not take is neither.
func (tr *Traffic) transaction(conn *pgx.Conn, id string, how kind) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	// Without effect on what has ended.
	defer func() { _ = tx.Rollback(ctx) }()
	if how == cancelled && tr.rough {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '20ms'"); err != nil {
			return err
		}
	}
	if how == savepoint {
		tr.ended(false)
		if err := tr.undone(ctx, tx, id+undone); err != nil {
			return err
		}
	}
	if err := tr.publish(ctx, tx, id); err != nil {
		// What did not get to its COMMIT has not committed.
		tr.ended(false)
		if wasCancelled(err) && how == cancelled {
			return nil
		}
		return err
	}
	if how == rollsBack {
		tr.ended(false)
		return tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		return err // committed or not: the table knows
	}
	tr.ended(true)
	return nil
}

func (tr *Traffic) undone(ctx context.Context, tx pgx.Tx, id string) error {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	if err := tr.publish(ctx, inner, id); err != nil {
		return err
	}
	return inner.Rollback(ctx)
}

func (tr *Traffic) publish(ctx context.Context, tx pgx.Tx, id string) error {
	began := time.Now()
	var answer map[string]map[string]any
	err := tx.QueryRow(ctx, "SELECT rule_webhook_call_unified($1, jsonb_build_object('id', $2::text), $2)", tr.webhook, id).Scan(&answer)
	if err != nil {
		return err
	}
	outcome := answer["nats"]
	if outcome["success"] != true && outcome["fallback"] != "queue" {
		return fmt.Errorf("%w: %v", errNowhere, outcome)
	}
	tr.watch.saw(began, outcome)
	_, err = tx.Exec(ctx, "INSERT INTO written VALUES ($1)", id)
	return err
}

var errNowhere = errors.New("an event is neither in the stream nor in the queue")

// isOurs tells an error that we have made, a statement that hangs among them, from one of a
// connection or a server that ends.
func isOurs(err error) bool {
	if errors.Is(err, errNowhere) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	// 57P01..05: the server ends or comes up; 57014: cancelled; 08: the connection.
	return !strings.HasPrefix(pg.Code, "57") && !strings.HasPrefix(pg.Code, "08")
}

func wasCancelled(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57014"
}
