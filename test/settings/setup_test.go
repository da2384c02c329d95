// Package settings tests each setting of rule_nats_config against real servers: that it works, and that
// a wrong value is answered quickly, by the setting's name and without its secret.
package settings

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
)

// ample is the time-out that nothing runs into by being slow, and quick is within what is answered without waiting for one.
const (
	ample = time.Minute
	quick = ample / 2
	// patience is for a machine on which a process may stand still for a long time.
	patience = time.Minute
)

var cluster *postgres.Cluster

func TestMain(m *testing.M) { os.Exit(postgres.Main(m, &cluster)) }

// bundle is a database with the extension, a NATS server and a webhook that publishes there.
type bundle struct {
	database string
	nats     *natsserver.Server
	conn     *pgx.Conn
	webhook  int32
}

func setup(t *testing.T, change ...func(*server.Options)) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{nats: natsserver.Run(t, change...), database: fmt.Sprintf("settings_%d", time.Now().UnixNano())}
	root := cluster.Connect(t, "postgres", "postgres")
	_, err := root.Exec(t.Context(), "CREATE DATABASE "+b.database)
	require.NoError(t, err)
	b.conn = cluster.Connect(t, b.database, "postgres")
	b.exec(t, "CREATE EXTENSION rule_engine")
	b.set(t, "nats_url = $1, connection_timeout_ms = $2, publish_timeout_ms = $2", b.nats.URL(), ample.Milliseconds())
	b.exec(t, "SELECT rule_webhook_register('orders', 'https://example.com/')")
	b.exec(t, "SELECT rule_webhook_enable_nats(1, p_publish_mode => 'nats')")
	b.webhook = 1
	return b
}

// set changes the configuration.
func (b *bundle) set(t *testing.T, settings string, values ...any) {
	t.Helper()
	b.exec(t, "UPDATE rule_nats_config SET "+settings, values...)
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func (b *bundle) json(t *testing.T, sql string, args ...any) map[string]any {
	t.Helper()
	var answer []byte
	require.NoError(t, b.conn.QueryRow(t.Context(), sql, args...).Scan(&answer))
	var result map[string]any
	require.NoError(t, json.Unmarshal(answer, &result))
	return result
}

func (b *bundle) publish(t *testing.T) map[string]any {
	t.Helper()
	return b.json(t, `SELECT rule_webhook_publish_nats($1, '{"n": 1}')`, b.webhook)
}

func (b *bundle) health(t *testing.T) map[string]any {
	t.Helper()
	return b.json(t, "SELECT rule_nats_health_check()")
}

// works is a configuration by which events arrive.
func (b *bundle) works(t *testing.T) {
	t.Helper()
	answer := b.publish(t)
	require.Equal(t, true, answer["success"], "%v", answer)
}

// refusedPublish is one that is answered quickly, with words that name what is wrong.
func (b *bundle) refusedPublish(t *testing.T, code, words string) map[string]any {
	t.Helper()
	began := time.Now()
	answer := b.publish(t)
	require.Less(t, time.Since(began), quick)
	require.Equal(t, false, answer["success"])
	require.Equal(t, code, answer["error_code"], "%v", answer)
	require.Contains(t, answer["error"], words)
	require.Equal(t, false, answer["unknown"])
	require.Equal(t, "queue", answer["fallback"])
	return answer
}

// refused is the same for a configuration by which no connection comes about. No word of it holds a secret.
func (b *bundle) refused(t *testing.T, code, words string, secrets ...string) {
	t.Helper()
	answer := b.refusedPublish(t, code, words)
	health := b.health(t)
	require.Equal(t, false, health["connected"])
	require.Contains(t, health["error"], words)
	init := b.json(t, "SELECT rule_nats_init()")
	require.Equal(t, false, init["success"])
	require.Contains(t, init["message"], words)
	for _, said := range []map[string]any{answer, health, init} {
		encoded, err := json.Marshal(said)
		require.NoError(t, err)
		for _, secret := range secrets {
			require.NotContains(t, string(encoded), secret)
		}
	}
	for _, secret := range secrets {
		require.NotContains(t, cluster.LogText(), secret)
	}
}

// file writes a file that the server, another user, can read.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := folder(t) + "/" + name
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return path
}
