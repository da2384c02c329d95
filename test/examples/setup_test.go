// Package examples runs what users copy: the scripts of examples/nats-integration, the commands of their README, and the
// queries of docs/recipes.md.
package examples

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
	"rule_engine/test/program"
)

const (
	folder = "examples/nats-integration"
	// administrator holds rule_engine_admin and may make objects in public: all that the scripts ask for.
	administrator = "administrator"
	superuser     = "postgres"
	// refused is an address at which nobody listens.
	refused = "nats://127.0.0.1:1"
)

// cluster is shared: a test has a database of its own in it.
var cluster *postgres.Cluster

func TestMain(m *testing.M) { os.Exit(postgres.Main(m, &cluster)) }

var databases atomic.Int32

// A base is a database with nothing but the extension.
type base struct {
	name string
	conn *pgx.Conn // the superuser's
}

// fresh makes a base whose NATS is at this address.
func fresh(t *testing.T, natsURL string) *base {
	t.Helper()
	b := &base{name: fmt.Sprintf("examples_%d", databases.Add(1))}
	maker := cluster.Connect(t, "postgres", superuser)
	_, err := maker.Exec(t.Context(), "CREATE DATABASE "+b.name)
	require.NoError(t, err)
	b.conn = cluster.Connect(t, b.name, superuser)
	b.must(t, "CREATE EXTENSION rule_engine")
	// Roles are the cluster's: one test at a time may make them.
	_, err = maker.Exec(t.Context(), "SELECT pg_advisory_lock(1)")
	require.NoError(t, err)
	b.must(t, `SELECT rule_engine_create_roles()`)
	b.must(t, `DO $$ BEGIN
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'administrator') THEN
			CREATE ROLE administrator LOGIN IN ROLE rule_engine_admin;
			CREATE ROLE writer LOGIN;
		END IF;
	END $$`)
	_, err = maker.Exec(t.Context(), "SELECT pg_advisory_unlock(1)")
	require.NoError(t, err)
	b.must(t, "GRANT CREATE ON SCHEMA public TO administrator")
	b.must(t, "SELECT rule_nats_configure(p_nats_url => $1)", natsURL)
	// No script is to take a machine that stands still for an outage.
	b.must(t, "UPDATE rule_nats_config SET connection_timeout_ms = 60000, publish_timeout_ms = 60000")
	return b
}

// withNATS makes a base with a server of its own: a stream belongs to one database.
func withNATS(t *testing.T) *base {
	t.Helper()
	return fresh(t, natsserver.Run(t).URL())
}

func (b *base) must(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

// rows are the rows of a query, each as one text.
func (b *base) rows(t *testing.T, sql string) string {
	t.Helper()
	found, err := b.conn.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err, sql)
	defer found.Close()
	var lines []string
	for found.Next() {
		var parts []string
		for _, value := range found.RawValues() {
			parts = append(parts, string(value))
		}
		lines = append(lines, strings.Join(parts, "|"))
	}
	require.NoError(t, found.Err(), sql)
	return strings.Join(lines, "\n")
}

// rowsAs are the rows that a query gives to a role.
func (b *base) rowsAs(t *testing.T, role, sql string) string {
	t.Helper()
	b.must(t, "SET ROLE "+role)
	defer b.must(t, "RESET ROLE")
	return b.rows(t, sql)
}

// twice runs a script two times as the administrator and returns what the runs print.
func (b *base) twice(t *testing.T, script string) string {
	t.Helper()
	var all strings.Builder
	for range 2 {
		said, err := cluster.Psql(b.name, administrator, program.Repository(), "--file="+folder+"/"+script)
		require.NoError(t, err, said)
		all.WriteString(said)
	}
	return all.String()
}

// signature is how a function is called and what it answers, on one line.
func (b *base) signature(t *testing.T, function string) string {
	t.Helper()
	return b.rows(t, fmt.Sprintf(`SELECT pg_get_function_arguments(p.oid) || ' -> ' || pg_get_function_result(p.oid)
		FROM pg_proc p WHERE p.proname = '%s'`, function))
}

// columns are a view's, in their order.
func (b *base) columns(t *testing.T, view string) string {
	t.Helper()
	return b.rows(t, fmt.Sprintf(`SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
		WHERE a.attrelid = '%s'::regclass AND a.attnum > 0`, view))
}

const outage = "NATS is away: connection refused"

// published counts publishes by their success.
const published = `SELECT count(*) FILTER (WHERE success), count(*) FILTER (WHERE NOT success) FROM rule_nats_publish_history`

// waiting counts what waits in the queue to be published again.
const waiting = `SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending' AND route = 'publish'`

// inStream counts the messages of the stream.
const inStream = `SELECT rule_nats_health_check() #>> '{streams,0,messages}'`
