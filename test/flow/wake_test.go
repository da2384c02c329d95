package flow

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/postgres"
	"rule_engine/test/process"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// pollsNever makes workers that start now poll so seldom that what they deliver in time, they were
// woken for.
func (b *bundle) pollsNever(t *testing.T) {
	t.Helper()
	b.must(t, `CREATE OR REPLACE FUNCTION rule_worker_hello(p_consumer text, p_group text, p_version text, p_capabilities text[], p_streams text[])
		RETURNS TABLE (source_id uuid, lease_ms integer, settings jsonb) LANGUAGE sql SECURITY DEFINER AS
		$$ SELECT s.source_id, 60000, '{"poll_ms": 3600000}'::jsonb FROM rule_engine_source s $$`)
}

// queueWorker is a worker of the queue alone.
func (b *bundle) queueWorker(t *testing.T, env ...string) *worker.Process {
	t.Helper()
	return b.worker(t, append([]string{"NATS_URL=", "WORKER_SOURCES=queue"}, env...)...)
}

// idle waits until so many workers say that they are.
func (b *bundle) idle(t *testing.T, want int) {
	t.Helper()
	b.count(t, want, "SELECT count(*) FROM pg_locks WHERE "+idleLock)
}

const idleLock = "locktype = 'advisory' AND classid = 1919247718 AND mode = 'ShareLock' AND granted"

func enqueue(webhook int32, n int) string {
	return fmt.Sprintf(`SELECT rule_webhook_enqueue(%d, '{"n": %d}')`, webhook, n)
}

func TestAnIdleWorkerIsWokenByTheCommitOfAnEvent(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.pollsNever(t)
	b.queueWorker(t)
	n := 0
	queued := func(t *testing.T, statements ...string) {
		t.Helper()
		b.idle(t, 1)
		for _, sql := range statements {
			_, err := b.application.Exec(t.Context(), sql)
			require.NoError(t, err, sql)
		}
		n++
		require.Len(t, b.Endpoint.Await(n, patience), n)
	}
	for range 3 {
		queued(t, enqueue(id, n))
	}
	queued(t, fmt.Sprintf("SELECT rule_webhook_call_unified(%d, '{}')", id))
	for _, isolation := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
		queued(t, "BEGIN ISOLATION LEVEL "+isolation, enqueue(id, n), "COMMIT")
	}
	b.must(t, "CREATE TABLE orders (id int)")
	b.must(t, "CREATE TRIGGER publish AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders')")
	b.must(t, "GRANT INSERT ON orders TO application")
	queued(t, "INSERT INTO orders VALUES (1)")
	b.idle(t, 1)
	b.settled(t)
}

func TestADeadLetterThatIsTriedAgainWakesAWorker(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.must(t, "UPDATE rule_webhooks SET max_retries = 0, give_up_after = '0'")
	b.pollsNever(t)
	b.Endpoint.Script(endpoint.Answer{Status: 500}, endpoint.Answer{})
	b.queueWorker(t)
	b.idle(t, 1)
	publish(t, b.application, id, "refused")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_dead_letters")
	b.idle(t, 1)
	b.must(t, "SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue")
	b.arrived(t, "refused", "refused")
	b.settled(t)
}

func TestAPreparedEventIsDeliveredWithoutANotification(t *testing.T) {
	b := setup(t, postgres.Conf("max_prepared_transactions = 2"))
	id := b.webhook(t, "orders", "queue")
	b.queueWorker(t)
	b.idle(t, 1)
	for _, sql := range []string{"BEGIN", enqueue(id, 1), "PREPARE TRANSACTION 'p'"} {
		_, err := b.application.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	listening := b.listening(t)
	_, err := b.application.Exec(t.Context(), "COMMIT PREPARED 'p'")
	require.NoError(t, err)
	b.Endpoint.Wait(t, 1, patience)
	b.settled(t)
	require.Zero(t, notifications(t, listening))
}

// listening is a session that is told what workers are told.
func (b *bundle) listening(t *testing.T) *pgx.Conn {
	t.Helper()
	conn := b.Postgres.Connect(t, system.Database, system.Carrier)
	_, err := conn.Exec(t.Context(), "LISTEN rule_engine_queue; LISTEN until_now")
	require.NoError(t, err)
	return conn
}

// notifications counts those that have come to a listening session since the last look.
func notifications(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	// It comes after all that was committed before.
	_, err := conn.Exec(t.Context(), "NOTIFY until_now")
	require.NoError(t, err)
	for {
		notification, err := conn.WaitForNotification(t.Context())
		require.NoError(t, err)
		if notification.Channel == "until_now" {
			return n
		}
		n++
	}
}

// Each notification makes the server's commits wait for each other, so there must not be one for
// each event that no worker can take.
func TestEventsThatNobodyMayDeliverDoNotNotifyForLong(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.must(t, "SELECT rule_webhook_hold($1, 'closed')", id)
	b.pollsNever(t)
	b.queueWorker(t)
	b.idle(t, 1)
	listening := b.listening(t)
	told, quiet := 0, 0
	for deadline := time.Now().Add(patience); quiet < 20; time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "after %d notifications in vain there are still more", told)
		_, err := b.application.Exec(t.Context(), enqueue(id, 1))
		require.NoError(t, err)
		quiet++
		if n := notifications(t, listening); n > 0 {
			told, quiet = told+n, 0
		}
	}
	require.NotZero(t, told)
}

// What such a commit leaves would be in no claim: it is not visible yet for the last one.
func TestAWorkerIsNotIdleWhileACommitThatWakesNobodyIsUnderWay(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	session := b.Postgres.Connect(t, system.Database, system.Application)
	var pid uint32
	require.NoError(t, session.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	b.commitsWait(t)
	done := make(chan error, 1)
	go func() {
		_, err := session.Exec(t.Context(), enqueue(id, 1))
		done <- err
	}()
	b.count(t, 1, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'", pid)
	var channel *string
	idle := func() *string {
		require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_worker_idle('w', true)").Scan(&channel))
		return channel
	}
	require.Nil(t, idle())
	b.commitsGoOn(t)
	require.NoError(t, <-done)
	require.NotNil(t, idle())
	b.count(t, 1, "SELECT count(*) FROM rule_worker_claim('w', 10, '{}')")
}

func TestAWorkerListensAgainAfterItsSessionEnded(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.pollsNever(t)
	b.queueWorker(t)
	b.idle(t, 1)
	var listener uint32
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT pid FROM pg_locks WHERE "+idleLock).Scan(&listener))
	b.must(t, "SELECT pg_terminate_backend($1)", listener)
	b.count(t, 1, "SELECT count(*) FROM pg_locks WHERE pid <> $1 AND "+idleLock, listener)
	publish(t, b.application, id, "event")
	b.arrived(t, "event")
}

// The worker reads at once that it is idle and that its session has ended.
func TestAWorkerWhoseSessionEndsAsItIsIdleListensAgain(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.pollsNever(t)
	line, env := b.databaseLine(t)
	told := make(chan bool)
	var said atomic.Int32
	line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
		// The first of them says where to listen.
		if fromServer && bytes.Contains(piece, []byte("rule_engine_queue")) && said.Add(1) == 2 {
			told <- true
			<-told
		}
		return proxy.Pass
	})
	w := b.queueWorker(t, env)
	<-told
	require.NoError(t, process.Freeze(w.Pid()))
	var listener uint32
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT pid FROM pg_locks WHERE "+idleLock).Scan(&listener))
	b.must(t, "SELECT pg_terminate_backend($1)", listener)
	b.count(t, 0, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", listener)
	told <- true
	time.Sleep(patience / 100) // until both are on their way
	require.NoError(t, w.Signal(syscall.SIGCONT))
	b.idle(t, 1)
	publish(t, b.application, id, "event")
	b.arrived(t, "event")
}

func TestAWorkerWithoutTheFunctionPollsAndSaysSo(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.must(t, "REVOKE EXECUTE ON FUNCTION rule_worker_idle FROM rule_engine_worker")
	w := b.queueWorker(t)
	publish(t, b.application, id, "event")
	b.arrived(t, "event")
	require.Eventually(t, func() bool {
		return strings.Count(w.Log(), "nobody wakes this worker, it polls: ") == 1
	}, patience, 20*time.Millisecond)
}

func TestManyWorkersAreWokenForManyEventsAndDeliverEachOnce(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	for range 3 {
		b.queueWorker(t)
	}
	b.idle(t, 3)
	events := names("event", 60)
	for _, event := range events {
		publish(t, b.application, id, event)
	}
	b.arrived(t, events...)
	b.settled(t)
	b.arrived(t, events...)
	b.idle(t, 3)
}

// A session that only writes to the queue loads the shim, and no Go.
func TestQueueingAnEventStartsNoGoInTheSession(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.queueWorker(t)
	b.idle(t, 1)
	session := b.Postgres.Connect(t, system.Database, system.Application)
	_, err := session.Exec(t.Context(), enqueue(id, 1))
	require.NoError(t, err)
	b.Endpoint.Wait(t, 1, patience)

	home := fmt.Sprintf("/proc/%d", session.PgConn().PID())
	maps, err := os.ReadFile(filepath.Join(home, "maps"))
	require.NoError(t, err)
	require.Contains(t, string(maps), "rule_engine.so")
	require.NotContains(t, string(maps), "rule_engine_go")
	threads, err := os.ReadDir(filepath.Join(home, "task"))
	require.NoError(t, err)
	require.Len(t, threads, 1)
}
