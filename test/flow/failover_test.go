package flow

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/postgres"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
)

// A replicated bundle has a standby, and workers reach whoever leads over one address, as with a virtual IP or a pooler.
type replicated struct {
	*bundle
	standby *postgres.Cluster
	line    *proxy.Proxy
	env     string
}

func setupReplicated(t *testing.T) *replicated {
	t.Helper()
	b := setup(t)
	r := &replicated{bundle: b, standby: b.Postgres.RunStandby(t)}
	r.line, r.env = b.databaseLine(t)
	b.count(t, 1, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
	return r
}

// lags lets the standby have all that there is, and nothing from now on.
func (r *replicated) lags(t *testing.T) {
	t.Helper()
	r.count(t, 1, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()")
	standby := r.standby.Connect(t, system.Database, system.Administrator)
	for _, statement := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		_, err := standby.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	r.count(t, 0, "SELECT count(*) FROM pg_stat_replication")
}

// failsOver kills the primary, leads workers to the standby, which serves reads alone by then, promotes it, and answers
// the bundle that goes on with it.
func (r *replicated) failsOver(t *testing.T) *bundle {
	t.Helper()
	require.NoError(t, r.Postgres.Kill())
	r.line.Turn(fmt.Sprintf("127.0.0.1:%d", r.standby.Port))
	r.line.Heal()
	r.line.Cut()
	reached := r.line.Accepted()
	require.Eventually(t, func() bool { return r.line.Accepted() > reached }, patience, 10*time.Millisecond)
	return r.promoted(t)
}

func (r *replicated) promoted(t *testing.T) *bundle {
	t.Helper()
	s := *r.System
	s.Postgres = r.standby
	after := bundleOf(t, &s)
	after.must(t, "SELECT pg_promote()")
	return after
}

// unreachable keeps workers from the database.
func (r *replicated) unreachable() { r.line.Refuse(true); r.line.Cut() }

var modes = []string{"nats", "queue", "both"}

// publishUntilKilled commits an event, commits another, rolls a third back, and so on until its session breaks. What
// committed stands in the table written, too; those that it was told of are answered.
func publishUntilKilled(ctx context.Context, conn *pgx.Conn, webhook int32, name string) (told []string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		<-tick.C
		id := fmt.Sprintf("%s-%d", name, n)
		tx, err := conn.Begin(ctx)
		if err != nil {
			return told
		}
		if _, err = tx.Exec(ctx, "SELECT rule_webhook_call_unified($1, jsonb_build_object('id', $2::text), $2)", webhook, id); err != nil {
			return told
		}
		if _, err = tx.Exec(ctx, "INSERT INTO written VALUES ($1)", id); err != nil {
			return told
		}
		if n%3 == 2 {
			err = tx.Rollback(ctx)
		} else if err = tx.Commit(ctx); err == nil {
			told = append(told, id)
		}
		if err != nil {
			return told
		}
	}
}

// A synchronous standby has each receipt that an event was sent under. So none of the reasons for which docs/delivery.md lets
// an event arrive twice is there.
func TestAFailoverToASynchronousStandbyLosesNothingAndSendsNothingTwice(t *testing.T) {
	r := setupReplicated(t)
	r.must(t, "CREATE TABLE written (id text)")
	r.must(t, "GRANT INSERT ON written TO "+system.Application)
	r.must(t, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	r.must(t, "SELECT pg_reload_conf()")
	r.count(t, 1, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
	// It falls behind, so that something is left to deliver.
	came := 0
	r.Endpoint.Respond(func(endpoint.Request) endpoint.Answer {
		if came++; came > 30 {
			return endpoint.Answer{Delay: 2 * time.Second}
		}
		return endpoint.Answer{Delay: 50 * time.Millisecond}
	})
	webhooks, told := make([]int32, len(modes)), make([][]string, len(modes))
	for i, mode := range modes {
		webhooks[i] = r.webhook(t, mode, mode)
	}
	r.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000")
	w := r.worker(t, r.env, "BATCH_SIZE=4") // after they have their secrets

	var sessions sync.WaitGroup
	for i, mode := range modes {
		conn := r.Postgres.Connect(t, system.Database, system.Application)
		sessions.Go(func() { told[i] = publishUntilKilled(t.Context(), conn, webhooks[i], mode) })
	}
	require.Eventually(t, func() bool {
		requests := len(r.Endpoint.Requests())
		return requests > 30 && r.sum(t, "SELECT count(*) FROM written") > requests+30
	}, 3*patience, 20*time.Millisecond)
	after := r.failsOver(t)
	atFailover := len(r.Endpoint.Requests())
	sessions.Wait()
	r.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })

	rows, err := after.admin.Query(t.Context(), "SELECT id FROM written")
	require.NoError(t, err)
	events, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Subset(t, events, slices.Concat(told...), "the standby was synchronous")
	require.Greater(t, len(events), atFailover, "nothing was left to deliver, so this test shows nothing")
	for i, mode := range modes {
		publish(t, after.application, webhooks[i], "after-"+mode)
		events = append(events, "after-"+mode)
	}
	after.arrivedLate(t, events...)
	after.settled(t)
	after.arrived(t, events...)
	after.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND try = 1")
	require.True(t, w.Running())
}

func TestAfterAFailoverToAStandbyThatLaggedWhatItLacksIsNotDelivered(t *testing.T) {
	r := setupReplicated(t)
	webhooks := map[string]int32{}
	for _, mode := range modes {
		webhooks[mode] = r.webhook(t, mode, mode)
	}
	// It answers when the primary is gone.
	slow := endpoint.Run(t)
	asked, answers := make(chan struct{}), make(chan struct{})
	ask := sync.OnceFunc(func() { close(asked) })
	slow.Respond(func(endpoint.Request) endpoint.Answer {
		ask()
		<-answers
		return endpoint.Answer{}
	})
	toSlow := r.webhook(t, "slow", "nats")
	r.must(t, "UPDATE rule_webhooks SET webhook_url = $1, timeout_ms = 60000 WHERE webhook_id = $2", slow.URL(), toSlow)
	w := r.worker(t, r.env)
	publishAll := func(b *bundle, name string) {
		for _, mode := range modes {
			publish(t, b.application, webhooks[mode], name+"-"+mode)
		}
	}

	// The standby has these events, and not what became of them.
	r.unreachable()
	publishAll(r.bundle, "known")
	published(t, r.application, toSlow, "under-way")
	r.lags(t)
	r.line.Heal()
	r.arrived(t, "known-nats", "known-queue", "known-both")
	<-asked
	r.count(t, len(modes), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
	// A message whose worker was not told so before it is cut off comes again. One is under way.
	r.inStream(t, 1)

	// The standby has none of these.
	r.unreachable()
	publishAll(r.bundle, "forgotten")
	after := r.failsOver(t)
	close(answers)
	publishAll(after, "after")

	after.count(t, 2, "SELECT count(*) FROM rule_webhook_drops WHERE reason = 'rolled back' AND message_id IN ('forgotten-nats', 'forgotten-both')")
	// The message of what was delivered from the stream is gone. What the queue of the standby still has goes a second time,
	// and so does what was sent under a receipt that the standby has not.
	after.graceEnds(t)
	twice := []string{"known-queue", "known-both"}
	all := slices.Concat(twice, twice, []string{"known-nats", "after-nats", "after-queue", "after-both"})
	after.arrived(t, all...)
	after.settled(t)
	after.arrived(t, all...)
	require.Equal(t, []string{"under-way", "under-way"}, idsOf(slow.Requests()))
	require.True(t, w.Running())
}

// The worker's mark of what it knows may by then name transactions that the standby never had and others that it made
// since: it says nothing of either.
func TestAfterAFailoverAWorkerSendsWhereTheDatabaseThatLeadsSays(t *testing.T) {
	r := setupReplicated(t)
	id := r.webhook(t, "orders", "queue")
	r.worker(t, r.env)
	r.lags(t)
	r.must(t, "UPDATE rule_webhooks SET webhook_url = $1 WHERE webhook_id = $2", r.Endpoint.URL()+"/forgotten", id)
	r.reaches(t, id, "/forgotten")
	var transaction int64
	require.NoError(t, r.admin.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&transaction))

	r.unreachable()
	require.NoError(t, r.Postgres.Kill())
	after := r.promoted(t)
	for next := int64(0); next < transaction+100; {
		require.NoError(t, after.admin.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&next))
	}
	r.line.Turn(fmt.Sprintf("127.0.0.1:%d", r.standby.Port))
	r.line.Heal()
	after.reaches(t, id, "/orders")
}

// What a standby's snapshot does not name may be open on the primary, and commit later.
func TestWhatAStandbyToldAWorkerIsToldAnewWhenItLeads(t *testing.T) {
	r := setupReplicated(t)
	r.webhook(t, "orders", "queue")
	r.lags(t)
	standby := r.standby.Connect(t, system.Database, system.Administrator)
	var mark string
	require.NoError(t, standby.QueryRow(t.Context(), "SELECT mark::text FROM rule_worker_endpoints() LIMIT 1").Scan(&mark))
	const told = "SELECT count(webhook_id) FROM rule_worker_endpoints($1::text::pg_snapshot)"
	var webhooks int
	require.NoError(t, standby.QueryRow(t.Context(), told, mark).Scan(&webhooks))
	require.Zero(t, webhooks)

	require.NoError(t, r.Postgres.Kill())
	after := r.promoted(t)
	after.count(t, 0, "SELECT pg_is_in_recovery()::integer")
	after.count(t, 1, told, mark)
}

// reaches publishes until an event arrives at a path.
func (b *bundle) reaches(t *testing.T, webhook int32, path string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		before := len(b.Endpoint.Requests())
		publish(t, b.application, webhook, fmt.Sprint("event-", before))
		got := b.Endpoint.Wait(t, before+1, patience)[before].Path
		if got == path {
			return
		}
		if time.Now().After(deadline) {
			require.Equal(t, path, got)
		}
	}
}
