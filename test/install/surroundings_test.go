package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestADatabaseThatIsNotInUTF8IsRefusedWithAClearWord(t *testing.T) {
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		conn := connect(t, database(t, "TEMPLATE template0 ENCODING '"+encoding+"'"))
		_, err := conn.Exec(context.Background(), "CREATE EXTENSION rule_engine")
		var refused *pgconn.PgError
		require.True(t, errors.As(err, &refused), "%v", err)
		require.Equal(t, "0A000", refused.Code)
		require.Contains(t, refused.Message, encoding)
		require.Contains(t, refused.Hint, "UTF8")
	}
}

func TestAPublicationForAllTablesStopsNothing(t *testing.T) {
	conn := connect(t, database(t))
	run(t, conn, "CREATE PUBLICATION everything FOR ALL TABLES", "CREATE EXTENSION rule_engine")
	// Each of these updates and deletes, which a published table allows with a replica identity alone.
	run(t, conn, "SELECT rule_webhook_register('hook', 'https://example.com')", "SELECT rule_webhook_secret_set(1, 's')",
		"SELECT rule_webhook_secret_set(1, 's')", "SELECT rule_webhook_enqueue(1, '{}')",
		"SELECT rule_worker_claim('w', 10, '{}')", "UPDATE rule_engine_retention SET keep = '2 days'",
		`INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, published_at, expires_at, slot)
		 SELECT 1, 's', n::text, n % 2 = 0, now() - interval '40 days', now() - interval '30 days', n FROM generate_series(0, 9) n`,
		"SELECT rule_engine_maintain()", "SELECT rule_engine_source_renew()", "SELECT rule_webhook_delete(1)")
	require.Equal(t, []string{"0"}, rows(t, conn, "SELECT count(*) FROM rule_nats_publish_history"))
}

func TestObjectsInTheWayDoNotReachTheInstallScript(t *testing.T) {
	conn := connect(t, database(t))
	run(t, conn, "CREATE SCHEMA hostile",
		"CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile function called'; END $$",
		"CREATE FUNCTION hostile.count(text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile function called'; END $$",
		"CREATE FUNCTION hostile.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile operator called'; END $$",
		"CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.equal)",
		"SET search_path = hostile, pg_catalog", "CREATE SCHEMA rules", "CREATE EXTENSION rule_engine SCHEMA rules",
		"SELECT rules.rule_engine_create_roles()", "SELECT rules.rule_webhook_register('hook', 'https://example.com')",
		"SELECT rules.rule_engine_maintain()", "SELECT rules.rule_nats_stats()", "SELECT * FROM rules.rule_webhook_list()")
	require.Empty(t, rows(t, conn, `SELECT d.objid FROM pg_catalog.pg_depend d, pg_catalog.pg_extension e
		WHERE d.refobjid OPERATOR(pg_catalog.=) 'hostile.equal(text,text)'::pg_catalog.regprocedure AND d.deptype OPERATOR(pg_catalog.=) 'e'`))
}

func TestAnOperatorThatFitsBetterInTheExtensionsSchemaIsNotCalled(t *testing.T) {
	for _, version := range append(released(), "") {
		conn := connect(t, database(t))
		run(t, conn, "CREATE SCHEMA rules", "CREATE SCHEMA hostile")
		if version != "" {
			run(t, conn, "CREATE EXTENSION rule_engine SCHEMA rules VERSION '"+version+"'")
		}
		for _, operator := range []string{"= oid regclass", "= oid regprocedure", "/ numeric bigint", "/ float8 numeric", "% numeric integer"} {
			part := strings.Fields(operator)
			result := map[bool]string{true: "boolean", false: "float8"}[part[0] == "="]
			run(t, conn, fmt.Sprintf(`CREATE FUNCTION hostile.called(%s, %s) RETURNS %s LANGUAGE plpgsql AS
					$$ BEGIN RAISE EXCEPTION 'hostile operator called'; END $$`, part[1], part[2], result),
				fmt.Sprintf("CREATE OPERATOR rules.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = hostile.called)", part[0], part[1], part[2]))
		}
		if version == "" {
			run(t, conn, "CREATE EXTENSION rule_engine SCHEMA rules")
		} else {
			run(t, conn, "ALTER EXTENSION rule_engine UPDATE")
		}
		require.Equal(t, []string{"0"}, rows(t, conn, `SELECT count(*) FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
			WHERE d.refclassid = 'pg_operator'::regclass AND o.oprnamespace = 'rules'::regnamespace`), version)
	}
}

func TestASchemaOfAnyNameServes(t *testing.T) {
	for _, schema := range []string{"100%", "%I %1 %s %L%%", "Its Own. And; more, (of) it", " ", "select", "zażółć-日本語",
		"{a}[1]", "~!^&*|<>?=+`", "@", "- / *", strings.Repeat("x", 63), strings.Repeat("é", 31)} {
		t.Run(schema, func(t *testing.T) {
			conn := connect(t, database(t))
			name := pgx.Identifier{schema}.Sanitize()
			run(t, conn, "CREATE SCHEMA "+name, "CREATE EXTENSION rule_engine SCHEMA "+name, "SET search_path = "+name,
				"SELECT rule_engine_create_roles()", "SELECT rule_webhook_register('hook', 'https://example.com')",
				"SELECT rule_webhook_register('other', 'https://example.com')", "SELECT rule_webhook_secret_set(1, 's')",
				"CREATE TABLE public.orders (id int)",
				"CREATE TRIGGER publish AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('hook')",
				"INSERT INTO public.orders VALUES (1)", "SELECT rule_webhook_call_unified(1, '{}')", "SELECT rule_webhook_enqueue(1, '{}')",
				`SELECT rule_webhook_publish_nats(webhook_id, '{}') FROM rule_webhooks WHERE rule_webhook_enable_nats(webhook_id)`,
				"UPDATE rule_webhooks SET queue_max_events = 1000",
				`INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, published_at, expires_at, slot)
				 SELECT 1, 's', n::text, n % 2 = 0, now() - interval '40 days', now() - interval '30 days', n FROM generate_series(0, 9) n`,
				`INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome, slot)
				 SELECT 1, n::text, 1, 'queue', 'w', now() - interval '40 days', 'delivered', n FROM generate_series(0, 9) n`)
			require.Equal(t, []string{"3"}, rows(t, conn, "SELECT count(*) FROM rule_worker_claim('w', 10, '{}')"))
			run(t, conn, `SELECT rule_worker_report('w', jsonb_agg(jsonb_build_object('path', 'queue', 'queue_id', queue_id,
				'result', 'answered', 'status', 404))) FROM rule_webhook_queue WHERE status = 'processing'`,
				"UPDATE rule_webhook_queue SET status = 'failed', completed_at = now() WHERE status = 'pending'",
				"SELECT rule_webhook_redeliver(p_webhook_id => 1, p_from => '-infinity')", "SELECT rule_worker_maintain('w')",
				"SELECT rule_engine_maintain()", "SELECT rule_nats_cleanup_old_history('1 day', false)", "SELECT rule_nats_cleanup_expired()",
				"SELECT rule_webhook_cleanup_old_calls('0', false)", "SELECT rule_nats_stats()", "SELECT * FROM rule_webhook_list()",
				"SELECT * FROM webhook_queue_fill", "SELECT rule_webhook_delete(1)", "DELETE FROM rule_nats_publish_history")
			require.Equal(t, []string{"0"}, rows(t, conn, "SELECT count(*) FROM rule_webhook_attempts WHERE started_at < now() - interval '1 day'"))
			run(t, conn, "DROP TABLE public.orders", "DROP EXTENSION rule_engine")
		})
	}
}

func TestASchemaThatPostgresDoesNotLetAnExtensionNameIsRefusedWithItsWord(t *testing.T) {
	for _, schema := range []string{`a"b`, "a'b", "a$b", `a\b`} {
		conn := connect(t, database(t))
		name := pgx.Identifier{schema}.Sanitize()
		run(t, conn, "CREATE SCHEMA "+name)
		_, err := conn.Exec(context.Background(), "CREATE EXTENSION rule_engine SCHEMA "+name)
		var refused *pgconn.PgError
		require.True(t, errors.As(err, &refused), "%v", err)
		require.Contains(t, refused.Message, `in extension "rule_engine" schema: must not contain`)
	}
}
