package install

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
	"rule_engine/test/scratch"
)

func TestEveryReleasedVersionUpdatesWithItsData(t *testing.T) {
	for _, old := range released() {
		t.Run(old, func(t *testing.T) {
			name := filledAt(t, "Its own", old)
			conn := connect(t, name)
			run(t, conn, `SET search_path = "Its own"`,
				"SELECT rule_nats_configure(p_nats_url => 'nats://elsewhere:4222')",
				"UPDATE rule_engine_retention SET keep = '3 days' WHERE table_name = 'rule_webhook_drops'",
				"CREATE SCHEMA kept")
			tables := rows(t, conn, `SELECT c.relname FROM pg_class c WHERE c.relnamespace = '"Its own"'::regnamespace
				AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
			for _, table := range tables {
				run(t, conn, fmt.Sprintf("CREATE TABLE kept.%[1]s AS TABLE %[1]s", table))
			}
			granted := rows(t, conn, `SELECT has_column_privilege('rule_engine_monitor', 'rule_webhooks', 'webhook_url', 'SELECT'),
				has_function_privilege('rule_engine_monitor', 'rule_webhook_enqueue(integer,jsonb,text,timestamptz)', 'EXECUTE')`)
			require.Equal(t, []string{"t|t"}, granted)

			run(t, conn, "ALTER EXTENSION rule_engine UPDATE")

			for _, table := range tables {
				columns := rows(t, conn, fmt.Sprintf(`SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
					WHERE attrelid = 'kept.%s'::regclass AND attnum > 0`, table))[0]
				ledger := ""
				if table == "rule_engine_migrations" {
					ledger = " WHERE version = '" + old + "'"
				}
				require.Empty(t, rows(t, conn, fmt.Sprintf(`(SELECT %[1]s FROM %[2]s%[3]s EXCEPT ALL TABLE kept.%[2]s)
					UNION ALL (TABLE kept.%[2]s EXCEPT ALL SELECT %[1]s FROM %[2]s)`, columns, table, ledger)), table)
			}
			require.Equal(t, granted, rows(t, conn, `SELECT has_column_privilege('rule_engine_monitor', 'rule_webhooks', 'webhook_url', 'SELECT'),
				has_function_privilege('rule_engine_monitor', 'rule_webhook_enqueue(integer,jsonb,text,timestamptz)', 'EXECUTE')`))
			run(t, conn, "SELECT rule_engine_create_roles()")
			require.Equal(t, []string{"20"}, rows(t, conn, "SELECT count(*) FROM rule_worker_claim('w', 100, '{}')"))
		})
	}
}

// Each has what the other wants, so one of them would be broken off.
func TestAnUpdateWaitsForATransactionThatGoesOnToOtherTables(t *testing.T) {
	for _, old := range released() {
		t.Run(old, func(t *testing.T) {
			conn := connect(t, filledAt(t, "public", old))
			for _, first := range []string{"rule_webhooks", "rule_webhook_queue", "rule_nats_publish_history", "rule_webhook_attempts"} {
				application := connect(t, conn.Config().Database)
				tx, err := application.Begin(t.Context())
				require.NoError(t, err)
				touch := func(table string) {
					_, err := tx.Exec(t.Context(), fmt.Sprintf("UPDATE %s SET webhook_id = webhook_id", table))
					require.NoError(t, err, table)
				}
				touch(first)
				ended := make(chan error)
				update, err := conn.Begin(t.Context())
				require.NoError(t, err)
				go func() {
					_, err := update.Exec(t.Context(), "ALTER EXTENSION rule_engine UPDATE")
					ended <- err
				}()
				require.Eventually(t, func() bool {
					return rows(t, application, "SELECT count(*) FROM pg_locks WHERE NOT granted")[0] != "0"
				}, time.Minute, time.Millisecond)
				for _, next := range []string{"rule_webhook_attempts", "rule_nats_publish_history", "rule_webhook_queue", "rule_webhooks"} {
					touch(next)
				}
				require.NoError(t, tx.Commit(t.Context()))
				require.NoError(t, <-ended)
				require.NoError(t, update.Rollback(t.Context()))
			}
		})
	}
}

// writtenByHand are rows that a released version took, and that no worker could go on with.
func writtenByHand(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ids := rows(t, conn, "SELECT queue_id FROM rule_webhook_queue WHERE status = 'pending' ORDER BY queue_id LIMIT 5")
	for n, set := range []string{"retry_count = -5", "retry_count = 2147483647", "redelivery = -1", "redelivery = 2147483647",
		"status = 'processing', leased_by = 'nobody', lease_until = 'infinity'"} {
		run(t, conn, "UPDATE rule_webhook_queue SET "+set+" WHERE queue_id = "+ids[n])
	}
	run(t, conn, "UPDATE rule_engine_retention SET keep = '2000 years', keep_failed = NULL WHERE table_name = 'rule_webhook_queue'",
		"UPDATE rule_engine_retention SET keep = '900 years', keep_failed = '10000 years' WHERE table_name = 'rule_webhook_attempts'",
		"UPDATE rule_webhooks SET held_reason = 'for ever', held_since = 'infinity' WHERE webhook_id = 1",
		"UPDATE rule_webhooks SET held_reason = 'since ever', held_since = '-infinity' WHERE webhook_id = 2",
		`UPDATE rule_webhooks SET webhook_url = 'http://a%41b/%zz', headers = '{"A": "1", "a": "2"}' WHERE webhook_id = 3`)
}

// requireMended asks for every row of before, and that workers and maintenance go on with them.
func requireMended(t *testing.T, conn *pgx.Conn, before []string) {
	t.Helper()
	require.Equal(t, before, rows(t, conn, "SELECT queue_id FROM rule_webhook_queue ORDER BY queue_id"))
	require.Equal(t, []string{"rule_webhook_attempts|900 years|1000 years", "rule_webhook_queue|1000 years|null"}, rows(t, conn,
		"SELECT table_name, keep, coalesce(keep_failed::text, 'null') FROM rule_engine_retention WHERE keep > '800 years' ORDER BY 1"))
	require.Equal(t, []string{"true|f"}, rows(t, conn, "SELECT rule_engine_maintain() -> 'success', (SELECT more FROM rule_engine_upkeep LIMIT 1)"))
	run(t, conn, "UPDATE rule_webhooks SET description = 'Found' WHERE webhook_url = 'http://a%41b/%zz'")
	require.Equal(t, []string{"3|2"}, rows(t, conn, `SELECT webhook_id, (SELECT count(*) FROM jsonb_object_keys(headers))
		FROM rule_webhooks WHERE description = 'Found'`))
	run(t, conn, "SELECT rule_webhook_resume(1), rule_webhook_resume(2)",
		"UPDATE rule_webhook_queue SET next_retry_at = now() WHERE status = 'pending'")
	require.Equal(t, []string{"20"}, rows(t, conn, "SELECT count(*) FROM rule_worker_claim('w', 100, '{}')"))
}

func TestWhatAHandHasWrittenIsMendedByAnUpdateAndByARestore(t *testing.T) {
	for _, old := range released() {
		t.Run(old, func(t *testing.T) {
			name := filledAt(t, "public", old)
			conn := connect(t, name)
			writtenByHand(t, conn)
			all := rows(t, conn, "SELECT queue_id FROM rule_webhook_queue ORDER BY queue_id")
			for _, format := range []string{"custom", "plain"} {
				requireMended(t, connect(t, restored(t, name, format)), all)
			}
			run(t, conn, "ALTER EXTENSION rule_engine UPDATE")
			require.Equal(t, all, rows(t, connect(t, restored(t, name, "custom")), "SELECT queue_id FROM rule_webhook_queue ORDER BY queue_id"))
			requireMended(t, conn, all)
		})
	}
}

func TestWhatIsHeldOrDisabledAtAnUpdateIsPausedFromThenOn(t *testing.T) {
	for _, old := range released() {
		t.Run(old, func(t *testing.T) {
			conn := connect(t, filledAt(t, "public", old))
			run(t, conn, "UPDATE rule_webhooks SET held_reason = 'maintenance', held_since = now() - interval '2 days' WHERE webhook_id = 1",
				"SELECT rule_webhook_update(2, p_enabled => false)",
				"ALTER EXTENSION rule_engine UPDATE")
			require.Equal(t, []string{"2 days|t|f"}, rows(t, conn, `SELECT date_trunc('hour', now() - max(paused_since) FILTER (WHERE webhook_id = 1)),
				max(paused_since) FILTER (WHERE webhook_id = 2) BETWEEN now() - interval '1 minute' AND now(),
				max(paused_since) FILTER (WHERE webhook_id = 3) IS NOT NULL FROM rule_webhooks`))
			run(t, conn, "SELECT rule_webhook_resume(1)")
			require.Equal(t, []string{"48"}, rows(t, conn, "SELECT paused_ms / 3600000 FROM rule_webhooks WHERE webhook_id = 1"))
		})
	}
}

func TestAReleasedVersionsFunctionsRunOnTheNewLibrary(t *testing.T) {
	nats := natsserver.Run(t)
	for _, old := range released() {
		t.Run(old, func(t *testing.T) {
			conn := connect(t, filledAt(t, "public", old))
			run(t, conn, "SELECT rule_nats_configure(p_nats_url => '"+nats.URL()+"')",
				"CREATE TABLE orders (id int)",
				"CREATE TRIGGER publish AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('hook 1')",
				"INSERT INTO orders VALUES (1)")
			for range 2 {
				for _, call := range []string{"rule_nats_init()", "rule_nats_health_check()", "rule_webhook_publish_nats(1, '{}')",
					"rule_webhook_call_unified(1, '{}') -> 'nats'", "rule_webhook_call_unified(3, '{}') -> 'queue'"} {
					require.Equal(t, []string{"true"}, rows(t, conn, "SELECT "+call+" -> 'success'"), call)
				}
				require.Equal(t, []string{"t"}, rows(t, conn, "SELECT rule_webhook_enqueue(1, '{}') > 0"))
				run(t, conn, "ALTER EXTENSION rule_engine UPDATE")
			}
		})
	}
}

func TestPgUpgradeCarriesTheExtensionOver(t *testing.T) {
	shared := cluster
	t.Cleanup(func() { cluster = shared })
	before, after := postgres.Run(t), postgres.Run(t)
	cluster = before
	name := filled(t, "rules")
	edited(t, name, "rules")
	kept, ownSource := contents(t, name, "rules"), rows(t, connect(t, name), "SELECT * FROM rules.rule_engine_source")
	objects := sorted(catalog(t, connect(t, name)))
	require.NoError(t, before.Stop())
	require.NoError(t, after.Stop())

	folder := scratch.For(t, "upgrade")
	cmd := exec.Command(filepath.Join(before.Tree, "bin", "pg_upgrade"), "--username=postgres", "--socketdir="+after.Socket(),
		"--old-bindir="+filepath.Join(before.Tree, "bin"), "--new-bindir="+filepath.Join(before.Tree, "bin"),
		"--old-datadir="+before.Data, "--new-datadir="+after.Data)
	cmd.Dir = folder
	asServer(t, cmd, folder)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	require.NoError(t, after.StartAgain())

	cluster = after
	there := contents(t, name, "rules")
	for table, lines := range kept {
		require.Equal(t, lines, there[table], table)
	}
	require.Equal(t, objects, sorted(catalog(t, connect(t, name))))
	// It is the same database still, and what its workers have not taken from a stream is theirs.
	require.Equal(t, ownSource, rows(t, connect(t, name), "SELECT * FROM rules.rule_engine_source"))
	require.Equal(t, []string{"20"}, rows(t, connect(t, name), "SELECT count(*) FROM rules.rule_worker_claim('w', 100, '{}')"))
}

// asServer lets cmd run as the user that servers run as, who owns folder then.
func asServer(t *testing.T, cmd *exec.Cmd, folder string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	server, err := user.Lookup("postgres")
	require.NoError(t, err)
	uid, err := strconv.Atoi(server.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(server.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(folder, uid, gid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
