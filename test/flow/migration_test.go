package flow

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/page"
	"rule_engine/test/system"
)

// A load is sessions that publish to a webhook until it is stopped. Each fifth transaction rolls back.
type load struct {
	sessions []*session
	stop     context.CancelFunc
	running  sync.WaitGroup
}

type session struct {
	conn *pgx.Conn

	mu         sync.Mutex
	committed  []string
	rolledBack []string
	mode       string // by the last answer
	err        error
}

func (b *bundle) load(t *testing.T, webhook int32, sessions int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	t.Cleanup(l.running.Wait)
	t.Cleanup(stop)
	for i := range sessions {
		s := &session{conn: b.Postgres.Connect(t, system.Database, system.Application)}
		l.sessions = append(l.sessions, s)
		l.running.Go(func() { s.run(ctx, t.Context(), webhook, fmt.Sprintf("session-%d", i+1)) })
	}
	return l
}

// run publishes until ctx ends; a transaction that was begun ends as it would.
func (s *session) run(ctx, whole context.Context, webhook int32, name string) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if err := s.transaction(whole, webhook, fmt.Sprintf("%s-%d", name, n), n%5 == 0); err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			return
		}
	}
}

func (s *session) transaction(ctx context.Context, webhook int32, id string, rollBack bool) error {
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return err
	}
	var mode string
	err = tx.QueryRow(ctx, `SELECT string_agg(part, '+' ORDER BY part)
		FROM jsonb_object_keys(rule_webhook_call_unified($1, $2::text::jsonb, $3)) AS part`, webhook, bodyOf(id), id).Scan(&mode)
	if err == nil && rollBack {
		err = tx.Rollback(ctx)
	} else if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
	if rollBack {
		s.rolledBack = append(s.rolledBack, id)
	} else {
		s.committed = append(s.committed, id)
	}
	return nil
}

// goesOn waits until every session has committed so many more events, the last in this mode.
func (l *load) goesOn(t *testing.T, events int, mode string) {
	t.Helper()
	for _, s := range l.sessions {
		target := -1
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			s.mu.Lock()
			committed, current, err := len(s.committed), s.mode, s.err
			s.mu.Unlock()
			require.NoError(t, err)
			if target < 0 {
				target = committed + events
			}
			if committed >= target && current == mode {
				break
			}
			require.False(t, time.Now().After(deadline), "%d events, the last in %s, not in %s", committed, current, mode)
		}
	}
}

// end stops the load and returns what committed and what rolled back.
func (l *load) end(t *testing.T) (committed, rolledBack []string) {
	t.Helper()
	l.stop()
	l.running.Wait()
	for _, s := range l.sessions {
		require.NoError(t, s.err)
		committed = append(committed, s.committed...)
		rolledBack = append(rolledBack, s.rolledBack...)
	}
	return committed, rolledBack
}

// migrationSteps are what docs/recipes.md says to run: to both, the watching, to NATS, and back.
func migrationSteps(t *testing.T, webhook int32) []string {
	t.Helper()
	blocks, err := page.Blocks("docs/recipes.md", "sql")
	require.NoError(t, err)
	var steps []string
	for _, block := range blocks {
		if block.Heading == "From the queue to NATS" {
			steps = append(steps, strings.ReplaceAll(block.Code, ":id", fmt.Sprint(webhook)))
		}
	}
	require.Len(t, steps, 4)
	return steps
}

func TestAWebhookMovesFromTheQueueToNATSUnderLoadAndLosesNothing(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	steps := migrationSteps(t, id)
	toBoth, watch, toNATS, back := steps[0], steps[1], steps[2], steps[3]

	load := b.load(t, id, 3)
	first := b.worker(t, "CONSUMER_NAME=first", "BATCH_SIZE=8")
	load.goesOn(t, 30, "queue")
	b.Endpoint.Wait(t, 30, patience)
	b.must(t, toBoth)
	load.goesOn(t, 30, "nats+queue")
	b.must(t, watch)

	// The first worker dies with requests on the wire, and nobody stops publishing for that.
	var hanging atomic.Int32
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer {
		hanging.Add(1)
		return endpoint.Answer{Hang: true}
	})
	require.Eventually(t, func() bool { return hanging.Load() >= 4 }, patience, 5*time.Millisecond)
	first.Kill()
	b.count(t, 0, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", system.Carrier)
	unreported := b.unreported(t)
	require.GreaterOrEqual(t, len(unreported), 4)
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })
	second := b.worker(t, "CONSUMER_NAME=second")
	load.goesOn(t, 30, "nats+queue")

	b.must(t, toNATS)
	load.goesOn(t, 60, "nats")
	b.must(t, back)
	load.goesOn(t, 10, "queue")
	committed, rolledBack := load.end(t)
	require.NotEmpty(t, rolledBack)

	require.NoError(t, second.Stop())
	b.leasesRunOut(t)
	b.worker(t, "CONSUMER_NAME=third")
	b.settled(t)

	times := map[string]int{}
	for _, r := range b.Endpoint.Requests() {
		require.NoError(t, r.Signature, r.ID())
		require.Equal(t, bodyOf(r.ID()), string(r.Body))
		times[r.ID()]++
	}
	// A worker that is killed cannot say what it has sent, of the stream and of the queue: that alone comes again.
	var again []string
	for _, event := range committed {
		require.Positive(t, times[event], "%s committed and did not arrive", event)
		require.LessOrEqual(t, times[event], 2, event)
		if times[event] == 2 {
			again = append(again, event)
		}
		delete(times, event)
	}
	require.Empty(t, times, "what rolled back arrived")
	require.Subset(t, again, unreported)
	// So many are on the wire, and twice as many have been and wait to be told.
	require.LessOrEqual(t, len(again), 3*8)
	b.count(t, len(committed), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
	b.count(t, len(committed), "SELECT count(DISTINCT message_id) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
}

// unreported are the events that have arrived and that the database does not know as delivered.
func (b *bundle) unreported(t *testing.T) []string {
	t.Helper()
	rows, err := b.admin.Query(t.Context(), "SELECT message_id FROM rule_webhook_attempts WHERE outcome = 'delivered'")
	require.NoError(t, err)
	reported, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var all []string
	for _, id := range idsOf(b.Endpoint.Requests()) {
		if !slices.Contains(reported, id) {
			all = append(all, id)
		}
	}
	return all
}
