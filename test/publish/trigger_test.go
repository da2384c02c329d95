package publish

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestAStatementsRowsArePublishedInOrderAndInBatches(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, `CREATE TABLE made (n integer)`)
	exec(t, b.admin, `CREATE TRIGGER publish AFTER INSERT ON made REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders')`)
	exec(t, b.admin, `UPDATE rule_webhooks SET publish_mode = 'nats'`)
	// More than one batch holds.
	exec(t, b.admin, `INSERT INTO made SELECT generate_series(1, 1201)`)

	var published int
	var inOrder bool
	var by []string
	require.NoError(t, b.admin.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE success), bool_and(n = place), array_agg(DISTINCT triggered_by)
		FROM (SELECT *, (payload #>> '{new,n}')::bigint AS n, row_number() OVER (ORDER BY sequence_number) AS place
		      FROM rule_nats_publish_history) h`).Scan(&published, &inOrder, &by))
	require.Equal(t, 1201, published)
	require.True(t, inOrder)
	require.Equal(t, []string{"postgres (trigger on public.made)"}, by)
}

func TestACancelEndsAStatementThatPublishesItsRows(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, `CREATE TABLE made (n integer)`)
	exec(t, b.admin, `CREATE TRIGGER publish AFTER INSERT ON made REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders')`)
	exec(t, b.admin, `INSERT INTO made SELECT generate_series(1, 10)`)
	require.NoError(t, b.nats.Freeze())
	t.Cleanup(func() { _ = b.nats.Thaw() })

	// The frozen server answers none of the batches.
	began := time.Now()
	_, err := b.admin.Exec(t.Context(), `BEGIN; SET LOCAL statement_timeout = '300ms'; INSERT INTO made SELECT generate_series(11, 1200)`)
	var cancelled *pgconn.PgError
	require.ErrorAs(t, err, &cancelled)
	require.Equal(t, "57014", cancelled.Code)
	require.Less(t, time.Since(began), 300*time.Millisecond+served)

	exec(t, b.admin, `ROLLBACK`)
	require.Equal(t, 10, b.count(t, `SELECT count(*) FROM made`))
	require.NoError(t, b.nats.Thaw())
	exec(t, b.admin, `INSERT INTO made SELECT generate_series(11, 20)`)
	require.Equal(t, 20, b.count(t, `SELECT count(*) FROM rule_nats_publish_history WHERE success`))
}
