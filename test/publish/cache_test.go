package publish

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
)

func TestAChangedRowIsNoticedAtTheNextPublish(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	require.Equal(t, "webhooks.orders", b.publish(t, conn, nil)["subject"])

	exec(t, b.admin, "UPDATE rule_webhooks SET nats_subject = 'webhooks.changed' WHERE webhook_id = $1", b.webhook)
	require.Equal(t, "webhooks.changed", b.publish(t, conn, nil)["subject"])

	other := natsserver.RunProcess(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET nats_url = $1", other.URL())
	require.EqualValues(t, 1, b.publish(t, conn, nil)["sequence"], "the first message of another server")

	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "UPDATE rule_webhooks SET nats_subject = 'webhooks.mine'")
	require.NoError(t, err)
	require.Equal(t, "webhooks.mine", b.publish(t, tx, nil)["subject"])
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, "webhooks.changed", b.publish(t, conn, nil)["subject"])
}

func TestAPublishLooksNothingUp(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	b.publish(t, conn, nil)
	scans := func() int {
		for _, counted := range []*pgx.Conn{conn, b.admin} {
			exec(t, counted, "SELECT pg_stat_force_next_flush()")
		}
		return b.count(t, `SELECT coalesce(sum(seq_scan) + sum(idx_scan), 0)::int FROM pg_stat_user_tables
			WHERE relname IN ('rule_webhooks', 'rule_nats_config', 'rule_nats_streams', 'rule_engine_source')`)
	}
	before := scans()
	for range 50 {
		b.publish(t, conn, nil)
	}
	require.Equal(t, before, scans())
}

// A restore and a logical replication's apply change rows without firing ordinary triggers.
func TestAChangeByAReplicationRoleIsNoticed(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	require.Equal(t, "webhooks.orders", b.publish(t, conn, nil)["subject"])
	exec(t, b.admin, "SET session_replication_role = replica")
	exec(t, b.admin, "UPDATE rule_webhooks SET nats_subject = 'webhooks.replica' WHERE webhook_id = $1", b.webhook)
	require.Equal(t, "webhooks.replica", b.publish(t, conn, nil)["subject"])

	other := natsserver.RunProcess(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET nats_url = $1", other.URL())
	require.EqualValues(t, 1, b.publish(t, conn, nil)["sequence"], "the first message of another server")
}

// A trigger that publishes reads the row that its statement has just written.
func TestAFailedChangeLeavesNoRowOfItsOwnInTheCache(t *testing.T) {
	for name, failing := range map[string]string{
		"statement": "UPDATE rule_webhooks SET nats_subject = 'webhooks.uncommitted' WHERE webhook_name = 'orders'",
		"caught": `DO $$ BEGIN
			UPDATE rule_webhooks SET nats_subject = 'webhooks.uncommitted' WHERE webhook_name = 'orders';
			EXCEPTION WHEN assert_failure THEN NULL;
			END $$`,
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			orders, invoices := b.webhook, b.register(t, "invoices")
			exec(t, b.admin, `CREATE FUNCTION publish_and_fail() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					RAISE EXCEPTION USING ERRCODE = 'assert_failure',
						MESSAGE = rule_webhook_publish_nats(NEW.webhook_id, '{}') ->> 'subject';
				END $$;
				CREATE TRIGGER publish_and_fail AFTER UPDATE ON rule_webhooks FOR EACH ROW EXECUTE FUNCTION publish_and_fail()`)
			// The session knows the configuration, and not yet the webhook.
			conn := b.session(t)
			b.webhook = invoices
			require.Equal(t, "webhooks.invoices", b.publish(t, conn, nil)["subject"])
			b.webhook = orders
			if _, err := conn.Exec(t.Context(), failing); err != nil {
				var pg *pgconn.PgError
				require.ErrorAs(t, err, &pg)
				require.Equal(t, "webhooks.uncommitted", pg.Message)
			}
			require.Equal(t, "webhooks.orders", b.publish(t, conn, nil)["subject"])
		})
	}
}

func TestTheConnectionOfAConfigurationThatIsGoneOrDisabledIsClosed(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	pid := conn.PgConn().PID()
	other := natsserver.RunProcess(t)
	exec(t, b.admin, "SELECT rule_nats_configure('other', p_nats_url => $1)", other.URL())
	stays := b.webhook
	b.webhook = b.register(t, "elsewhere")
	moves := b.webhook
	move := func() {
		t.Helper()
		exec(t, b.admin, "SELECT rule_webhook_enable_nats($1, p_publish_mode => 'nats', p_config_name => 'other')", moves)
		exec(t, b.admin, "SELECT rule_nats_stream_create('WEBHOOKS', '{webhooks.>}', 'other')")
		b.webhook = moves
		require.Equal(t, true, b.publish(t, conn, nil)["success"])
		require.Equal(t, 1, connections(t, pid, other.Port))
		b.webhook = stays
		require.Equal(t, true, b.publish(t, conn, nil)["success"])
	}
	closed := func() {
		t.Helper()
		require.Equal(t, 1, connections(t, pid, other.Port), "until the next publish")
		require.Equal(t, true, b.publish(t, conn, nil)["success"])
		require.Eventually(t, func() bool { return connections(t, pid, other.Port) == 0 }, patience, 5*time.Millisecond)
		require.Equal(t, 1, connections(t, pid, b.nats.Port))
	}

	move()
	exec(t, b.admin, "UPDATE rule_nats_config SET enabled = false WHERE config_name = 'other'")
	closed()

	exec(t, b.admin, "UPDATE rule_nats_config SET enabled = true WHERE config_name = 'other'")
	move()
	exec(t, b.admin, "UPDATE rule_webhooks SET nats_config_id = NULL")
	exec(t, b.admin, "DELETE FROM rule_nats_config WHERE config_name = 'other'")
	closed()
}
