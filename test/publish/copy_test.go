package publish

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestACopyOfADatabaseHasASourceIDOfItsOwn(t *testing.T) {
	b := setup(t)
	b.publish(t, b.admin, "shared")
	original := b.database
	b.copied(t)
	exec(t, b.admin, "DELETE FROM rule_nats_publish_history")
	answer := b.publish(t, b.admin, "shared")
	require.Equal(t, false, answer["duplicate"], "%v", answer)
	copied := b.count(t, "SELECT hashtext(source_id::text) FROM rule_engine_source")
	b.database = original
	b.admin = b.session(t)
	require.NotEqual(t, copied, b.count(t, "SELECT hashtext(source_id::text) FROM rule_engine_source"))
}

// copied makes a database from the test's own, which goes on with the copy.
func (b *bundle) copied(t *testing.T) {
	t.Helper()
	require.NoError(t, b.admin.Close(t.Context()))
	root := cluster.Connect(t, "postgres", "postgres")
	// A session that was closed is there until its backend has ended.
	require.Eventually(t, func() bool {
		var left int
		require.NoError(t, root.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
			b.database).Scan(&left))
		return left == 0
	}, patience, 10*time.Millisecond)
	exec(t, root, "CREATE DATABASE copy_"+b.database+" TEMPLATE "+b.database)
	b.database = "copy_" + b.database
	b.admin = b.session(t)
}

func TestTwoSessionsMayBeTheFirstToPublishInACopy(t *testing.T) {
	b := setup(t)
	b.copied(t)
	first, second := b.session(t), b.session(t)
	tx, err := first.Begin(t.Context())
	require.NoError(t, err)
	require.Equal(t, true, b.publish(t, tx, "first")["success"])
	done := make(chan error, 1)
	go func() {
		_, err := second.Exec(context.Background(), "SELECT rule_webhook_publish_nats($1, '{}', 'second')", b.webhook)
		done <- err
	}()
	b.becomes(t, 1, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'", second.PgConn().PID())
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)

	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE success"))
	var source string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT source_id::text FROM rule_engine_source").Scan(&source))
	for sequence := range b.last(t) {
		message, err := b.stream(t).GetMsg(t.Context(), sequence+1)
		require.NoError(t, err)
		require.Equal(t, source, message.Header.Get("Rule-Engine-Source"))
	}
}

func TestALookAtNATSInACopyMayBeReadOnly(t *testing.T) {
	b := setup(t)
	b.copied(t)
	conn := b.session(t)
	exec(t, conn, "BEGIN READ ONLY")
	var healthy bool
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT (rule_nats_health_check() ->> 'connected')::boolean").Scan(&healthy))
	require.True(t, healthy)
	exec(t, conn, "COMMIT")
	require.Equal(t, true, b.publish(t, conn, nil)["success"])
}

func TestADatabaseThatIsNotInUTF8IsRefused(t *testing.T) {
	root := cluster.Connect(t, "postgres", "postgres")
	name := fmt.Sprintf("latin_%d", time.Now().UnixNano())
	exec(t, root, "CREATE DATABASE "+name+" ENCODING 'LATIN1' TEMPLATE template0")
	latin := cluster.Connect(t, name, "postgres")
	_, err := latin.Exec(t.Context(), "CREATE EXTENSION rule_engine")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "0A000", pg.Code)
	require.Contains(t, pg.Message, "LATIN1")
	require.NotEmpty(t, pg.Hint)
}
