package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/scratch"
)

// filled makes a database with the extension in schema and rows in every table that users' rows are in.
func filled(t *testing.T, schema string) string {
	t.Helper()
	return filledAt(t, schema, version())
}

func filledAt(t *testing.T, schema, version string) string {
	t.Helper()
	name := database(t)
	conn := connect(t, name)
	run(t, conn, fmt.Sprintf("CREATE SCHEMA IF NOT EXISTS %q", schema),
		fmt.Sprintf("CREATE EXTENSION rule_engine SCHEMA %q VERSION '%s'", schema, version),
		fmt.Sprintf("SET search_path = %q", schema),
		"SELECT rule_engine_create_roles()",
		"SELECT rule_nats_configure('west', 'nats://west:4222')",
		"SELECT rule_nats_stream_create('WEST', '{west.>}', 'west')",
		"SELECT rule_webhook_register('hook ' || n, 'https://example.com/' || n, p_headers => '{\"Authorization\": \"secret\"}') FROM generate_series(1, 3) n",
		"SELECT rule_webhook_enable_nats(1), rule_webhook_enable_nats(2, 'west.two', 'nats', 'west')",
		"SELECT rule_webhook_secret_set(1, 'signing')",
		"SELECT rule_webhook_enqueue(n % 3 + 1, to_jsonb(n)) FROM generate_series(1, 20) n",
		`DO $$ BEGIN IF to_regclass('rule_webhook_endpoints') IS NOT NULL THEN
			INSERT INTO rule_webhook_endpoints (webhook_id, failing_since, outages) VALUES (1, now(), 2);
		 END IF; END $$`,
		`DO $$ BEGIN IF to_regclass('rule_webhook_turns') IS NOT NULL THEN
			UPDATE rule_webhooks SET order_key = '{customer}', on_dead = 'skip' WHERE webhook_id = 3;
		 END IF; END $$`,
		`DO $$ BEGIN IF to_regclass('rule_webhook_open_events') IS NOT NULL THEN
			INSERT INTO rule_webhook_open_events (webhook_id, message_id, transaction, top_transaction, published_at, payload)
			VALUES (1, 'open', '9', '8', now(), '{}');
		 END IF; END $$`,
		`INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, done_at) VALUES (1, 'received', 'done', now())`,
		`INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome, slot)
		 SELECT 1, 'tried ' || n, 1, 'queue', 'w', now(), 'delivered', n FROM generate_series(0, 9) n`,
		`INSERT INTO rule_webhook_drops (webhook_id, message_id, transaction, reason, worker) VALUES (1, 'dropped', '7', 'rolled back', 'w')`,
		`INSERT INTO rule_nats_publish_history (webhook_id, subject, payload, message_id, success, transaction, slot)
		 SELECT 1, 'webhooks.x', '{"n": 1}', 'published ' || n, true, '7', n FROM generate_series(0, 9) n`,
		`SELECT rule_nats_consumer_update_stats('WEBHOOKS', 'w', 1, 1, 0)`,
		// What the DBA of this database gave away by hand.
		`GRANT SELECT (webhook_url) ON rule_webhooks TO rule_engine_monitor`,
		`GRANT EXECUTE ON FUNCTION rule_webhook_enqueue TO rule_engine_monitor`)
	return name
}

// edited changes the rows that the extension itself made.
func edited(t *testing.T, name, schema string) {
	t.Helper()
	run(t, connect(t, name), fmt.Sprintf("SET search_path = %q", schema),
		"SELECT rule_nats_configure(p_nats_url => 'nats://elsewhere:4222')",
		"UPDATE rule_nats_streams SET max_bytes = 7777777 WHERE stream_name = 'WEBHOOKS'",
		"UPDATE rule_engine_retention SET keep = '3 days' WHERE table_name = 'rule_webhook_drops'",
		"UPDATE rule_engine_settings SET queue_max_events = 1000000")
}

// contents are the rows of every table of the extension but those that are a database's own. A webhook's
// mark belongs to the transactions of its database, and the time of its change to a secret's arrival; a row that
// nobody has edited was made with the extension.
func contents(t *testing.T, name, schema string) map[string][]string {
	t.Helper()
	conn := connect(t, name)
	run(t, conn, fmt.Sprintf("SET search_path = %q", schema))
	all := make(map[string][]string)
	for _, table := range rows(t, conn, `SELECT c.relname FROM pg_class c WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema)
		AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT IN ('rule_engine_migrations', 'rule_engine_source',
			'rule_webhook_queue_fill', 'rule_webhook_buckets', 'rule_webhook_slots', 'rule_engine_upkeep', 'rule_nats_publish_hours',
			'rule_webhook_attempt_days', 'rule_webhook_deletions')`) {
		all[table] = rows(t, conn, fmt.Sprintf(`SELECT (j - 'changed_xid' - 'updated_at' - CASE j ->> 'pristine' WHEN 'true' THEN 'created_at' ELSE '' END)::text
			FROM %s r, to_jsonb(r) j ORDER BY 1`, table))
		require.NotEmpty(t, all[table], table)
	}
	require.Len(t, all, 15)
	return all
}

// sequences are what comes next of each.
func sequences(t *testing.T, name string) []string {
	t.Helper()
	return rows(t, connect(t, name), "SELECT sequencename, last_value FROM pg_sequences WHERE sequencename LIKE 'rule%' ORDER BY 1")
}

func own(t *testing.T, name, schema string) (source, oid string) {
	t.Helper()
	found := rows(t, connect(t, name), fmt.Sprintf("SELECT source_id, database_oid FROM %q.rule_engine_source", schema))
	require.Len(t, found, 1)
	source, oid, _ = strings.Cut(found[0], "|")
	return source, oid
}

func tool(name, database string, args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(cluster.Tree, "bin", name), append([]string{"--host=" + cluster.Socket(),
		fmt.Sprintf("--port=%d", cluster.Port), "--username=postgres", "--dbname=" + database}, args...)...)
}

// restored dumps a database and restores it into a new one, as an archive or as a script.
func restored(t *testing.T, name, format string) string {
	t.Helper()
	into := database(t, "TEMPLATE template0")
	file := filepath.Join(scratch.For(t, "dump"), "dump")
	_, err := output(tool("pg_dump", name, "--format="+format, "--file="+file))
	require.NoError(t, err)
	if format == "plain" {
		said, err := psql(into, "/", "--file="+file)
		require.NoError(t, err, said)
	} else {
		_, err = output(tool("pg_restore", into, "--exit-on-error", file))
		require.NoError(t, err)
	}
	require.NoError(t, os.Remove(file))
	return into
}

func TestADumpRestoresWhatUsersHaveOnceAndNothingOfTheDatabasesOwn(t *testing.T) {
	for _, c := range []struct {
		schema, format string
		edit           bool
	}{
		{"public", "custom", false},
		{"public", "custom", true},
		{"Its 100% own", "plain", true},
	} {
		t.Run(fmt.Sprintf("schema %s, %s, edited %v", c.schema, c.format, c.edit), func(t *testing.T) {
			from := filled(t, c.schema)
			if c.edit {
				edited(t, from, c.schema)
			}
			into := restored(t, from, c.format)

			there := contents(t, into, c.schema)
			for table, lines := range contents(t, from, c.schema) {
				require.Equal(t, lines, there[table], table)
			}
			require.Equal(t, sequences(t, from), sequences(t, into))
			require.Equal(t, sorted(catalog(t, connect(t, from))), sorted(catalog(t, connect(t, into))))

			source, oid := own(t, from, c.schema)
			newSource, newOID := own(t, into, c.schema)
			require.NotEqual(t, source, newSource)
			require.NotEqual(t, oid, newOID)
			require.Equal(t, rows(t, connect(t, into), "SELECT oid FROM pg_database WHERE datname = current_database()"), []string{newOID})
			ledger := fmt.Sprintf("SELECT migration, name, version, applied_at > now() - interval '1 hour' FROM %q.rule_engine_migrations ORDER BY 1", c.schema)
			require.Equal(t, rows(t, connect(t, from), ledger), rows(t, connect(t, into), ledger))

			// It goes on as its origin would.
			conn := connect(t, into)
			run(t, conn, fmt.Sprintf("SET search_path = %q", c.schema))
			require.Equal(t, []string{"4"}, rows(t, conn, "SELECT rule_webhook_register('next', 'https://example.com')"))
			require.Equal(t, []string{"21"}, rows(t, conn, "SELECT rule_webhook_enqueue(4, '{}')"))
			require.Empty(t, rows(t, conn, "SELECT * FROM rule_engine_create_roles()"))
			require.Equal(t, []string{"20"}, rows(t, conn, "SELECT count(*) FROM rule_worker_claim('w', 100, '{}') WHERE message_id IN (SELECT message_id FROM rule_webhook_queue WHERE webhook_id < 4)"))
		})
	}
}
