package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// claimAtOnce is how many rows are claimed and reported by one call.
const claimAtOnce = 100

var errNotTaken = errors.New("rows were not claimed and reported")

const (
	plainQueue = `CREATE TABLE plain_queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb NOT NULL, taken_at timestamptz);
		CREATE INDEX ON plain_queue (id) WHERE taken_at IS NULL`
	plainClaim = `UPDATE plain_queue SET taken_at = now() WHERE id = ANY (ARRAY(
		SELECT id FROM plain_queue WHERE taken_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING id, payload::text`
	plainDone = "DELETE FROM plain_queue WHERE id = ANY ($1)"

	ourClaim = "SELECT queue_id, webhook_id, message_id, redelivery, try, payload FROM rule_worker_claim($1, $2, '{}')"
	ourDone  = "SELECT ordinal, verdict, coalesce(wait_ms, 0) FROM rule_worker_report($1, $2)"
)

// topUp are the statements that leave so many rows waiting and nothing else.
var topUp = []string{
	"DELETE FROM rule_webhook_queue WHERE status <> 'pending'",
	`INSERT INTO rule_webhook_queue (webhook_id, message_id, payload)
		SELECT $1, gen_random_uuid()::text, $2 FROM generate_series(1, $3 - (SELECT count(*) FROM rule_webhook_queue))`,
	`INSERT INTO plain_queue (payload)
		SELECT $1 FROM generate_series(1, $2 - (SELECT count(*) FROM plain_queue))`,
	"VACUUM ANALYZE rule_webhook_queue, plain_queue",
}

// taker claims rows and reports them delivered, on a connection of its own.
type taker interface {
	take(ctx context.Context) (int, error)
}

type plainTaker struct{ conn *pgx.Conn }

func (p plainTaker) take(ctx context.Context) (int, error) {
	rows, _ := p.conn.Query(ctx, plainClaim, claimAtOnce)
	claimed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		ID      int64
		Payload string
	}])
	if err != nil {
		return 0, err
	}
	ids := make([]int64, len(claimed))
	for i, row := range claimed {
		ids[i] = row.ID
	}
	_, err = p.conn.Exec(ctx, plainDone, ids)
	return len(ids), err
}

// workerTaker does what a worker does.
type workerTaker struct {
	conn *pgx.Conn
	name string
	*worked
}

// worked is what takers note together: ns of all calls, and how many rows were reported in vain.
type worked struct{ claiming, reporting, busy atomic.Int64 }

// report is what a worker tells of one row.
type report struct {
	Path        string `json:"path"`
	QueueID     int64  `json:"queue_id"`
	WebhookID   int32  `json:"webhook_id"`
	MessageID   string `json:"message_id"`
	Redelivery  int32  `json:"redelivery"`
	Try         int32  `json:"try"`
	Result      string `json:"result"`
	Status      int    `json:"status"`
	StartedMS   int    `json:"started_ms_ago"`
	DurationMS  int    `json:"duration_ms"`
	payloadText string
}

func (w workerTaker) take(ctx context.Context) (int, error) {
	began := time.Now()
	rows, _ := w.conn.Query(ctx, ourClaim, w.name, claimAtOnce)
	reports, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r report, err error) {
		r = report{Path: "queue", Result: "answered", Status: 200, StartedMS: 5, DurationMS: 3}
		err = row.Scan(&r.QueueID, &r.WebhookID, &r.MessageID, &r.Redelivery, &r.Try, &r.payloadText)
		return r, err
	})
	if err != nil {
		return 0, err
	}
	w.claiming.Add(time.Since(began).Nanoseconds())
	for left := reports; len(left) > 0; {
		began := time.Now()
		busy, wait, err := w.report(ctx, left)
		if err != nil {
			return 0, err
		}
		w.reporting.Add(time.Since(began).Nanoseconds())
		w.busy.Add(int64(len(busy)))
		left = busy
		time.Sleep(wait)
	}
	return len(reports), nil
}

// report gives what another transaction held in this moment, which is to be reported again.
func (w workerTaker) report(ctx context.Context, reports []report) (busy []report, wait time.Duration, err error) {
	var n, ms int
	var verdict string
	rows, _ := w.conn.Query(ctx, ourDone, w.name, reports)
	_, err = pgx.ForEachRow(rows, []any{&n, &verdict, &ms}, func() error {
		switch verdict {
		case "done":
		case "busy":
			busy = append(busy, reports[n-1])
			wait = max(wait, time.Duration(ms)*time.Millisecond)
		default:
			return fmt.Errorf("%w: verdict %s", errNotTaken, verdict)
		}
		return nil
	})
	return busy, wait, err
}

// takeAll has takers take n rows beside each other, and gives their rate.
func takeAll(ctx context.Context, takers []taker, n int) (rate float64, err error) {
	var all sync.WaitGroup
	var begun atomic.Int64
	failed := make([]error, len(takers))
	began := time.Now()
	for i, t := range takers {
		all.Go(func() {
			for begun.Add(claimAtOnce) <= int64(n) && failed[i] == nil {
				taken, err := t.take(ctx)
				if err == nil && taken != claimAtOnce {
					err = fmt.Errorf("%w: %d at once", errNotTaken, taken)
				}
				failed[i] = err
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(began).Seconds(), errors.Join(failed...)
}

// claims measures how fast queue rows are claimed and reported, beside the plainest loop that does
// the like, with and without a snapshot that keeps what they leave behind.
func (s *setup) claims(ctx context.Context, out io.Writer, measure effort) (err error) {
	queue, drop, err := s.beside(ctx, database+"_queue")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if queue.webhook, err = queue.registered(ctx, hookName+" claims", "queue"); err != nil {
		return err
	}
	if _, err := queue.conn.Exec(ctx, plainQueue); err != nil {
		return err
	}
	var rows [][]string
	var times string
	for _, n := range []int{1, 4} {
		progress(fmt.Sprintf("- %d beside each other", n))
		of, err := queue.claimsBy(ctx, measure, n)
		if err != nil {
			return err
		}
		rows = append(rows, of.rows(n)...)
		if n == 1 {
			times = fmt.Sprintf("Of %d rows, on one connection and with no snapshot held, the claim took %s ms and the report %s ms.",
				claimAtOnce, of.claim.show("%.1f"), of.report.show("%.1f"))
		}
	}
	heading(out, "Claims from the queue")
	table(out, []string{"", "the plainest loop, rows per second", "of itself, no snapshot",
		"claim and report, rows per second", "of itself, no snapshot", "of the plainest loop", "busy, of 100"}, rows)
	fmt.Fprintf(out, "\n%d rows waited, %d were taken a round, %d at once, each claim and each report committed. The plainest loop is an UPDATE of rows that were selected FOR UPDATE SKIP LOCKED, and a DELETE; the snapshot is that of another session in REPEATABLE READ, opened before. Busy is a row that another claim holds in the moment of its report; it is reported again after the time that the answer says.\n\n%s\n",
		measure.waiting, measure.claimed, claimAtOnce, times)
	return nil
}

// claimRates are rates without a snapshot and with one, what was busy, and the ms of a batch without.
type claimRates struct {
	plain, ours   [2]figures
	busy          [2]figures // of a hundred rows
	claim, report figures
}

func (r *claimRates) rows(n int) (rows [][]string) {
	for i, name := range []string{"no snapshot", "a snapshot held open"} {
		rows = append(rows, []string{fmt.Sprintf("%d beside each other, %s", n, name),
			r.plain[i].show("%.0f"), r.plain[i].per(r.plain[0]).show("%.2f"),
			r.ours[i].show("%.0f"), r.ours[i].per(r.ours[0]).show("%.2f"), r.ours[i].per(r.plain[i]).show("%.2f"), r.busy[i].show("%.0f")})
	}
	return rows
}

func (s *setup) claimsBy(ctx context.Context, measure effort, n int) (*claimRates, error) {
	var plain, ours []taker
	did := &worked{}
	for i := range n {
		for _, user := range []string{"postgres", "bench_worker"} {
			conn, err := pgx.Connect(ctx, s.cluster.DSN(s.database, user))
			if err != nil {
				return nil, err
			}
			defer conn.Close(ctx)
			if user == "postgres" {
				plain = append(plain, plainTaker{conn})
			} else {
				ours = append(ours, workerTaker{conn, fmt.Sprintf("bench %d", i), did})
			}
		}
	}
	r := &claimRates{}
	for round := range measure.deliverers + 1 {
		for held := range 2 {
			if err := s.fillQueues(ctx, measure.waiting); err != nil {
				return nil, err
			}
			did.claiming.Store(0)
			did.reporting.Store(0)
			did.busy.Store(0)
			of, err := s.underSnapshot(ctx, held == 1, func() (of [2]float64, err error) {
				for i, takers := range [][]taker{plain, ours} {
					if of[i], err = takeAll(ctx, takers, measure.claimed); err != nil {
						return of, err
					}
				}
				return of, nil
			})
			if err != nil {
				return nil, err
			}
			if round == 0 {
				break // plans are made in it, and it does not count
			}
			r.busy[held] = append(r.busy[held], 100*float64(did.busy.Load())/float64(measure.claimed))
			r.plain[held], r.ours[held] = append(r.plain[held], of[0]), append(r.ours[held], of[1])
			if held == 0 {
				calls := float64(measure.claimed/claimAtOnce) * 1e6
				r.claim = append(r.claim, float64(did.claiming.Load())/calls)
				r.report = append(r.report, float64(did.reporting.Load())/calls)
			}
		}
	}
	return r, nil
}

// fillQueues leaves so many rows waiting in both, and nothing dead.
func (s *setup) fillQueues(ctx context.Context, waiting int) error {
	args := [][]any{nil, {s.webhook, s.payload, waiting}, {s.payload, waiting}, nil}
	for i, statement := range topUp {
		if _, err := s.conn.Exec(ctx, statement, args[i]...); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// underSnapshot does something while another session holds a snapshot, if it is to.
func (s *setup) underSnapshot(ctx context.Context, held bool, do func() ([2]float64, error)) (of [2]float64, err error) {
	if !held {
		return do()
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return of, err
	}
	defer conn.Close(ctx)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return of, err
	}
	if _, err := tx.Exec(ctx, "SELECT count(*) FROM pg_class"); err != nil {
		return of, err
	}
	of, err = do()
	return of, errors.Join(err, tx.Rollback(ctx))
}
