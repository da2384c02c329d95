package settings

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
)

func withoutJetStream(o *server.Options) { o.JetStream = false }

// names are those that a server knows its connections by.
func names(t *testing.T, s *natsserver.Server) []string {
	t.Helper()
	found := []string{}
	for _, c := range s.Connections(t) {
		found = append(found, c.Name)
	}
	return found
}

func TestAConnectionIsNamedAfterDatabaseAndPid(t *testing.T) {
	b := setup(t)
	b.works(t)
	require.Equal(t, []string{fmt.Sprintf("rule_engine %s pid %d", b.database, b.conn.PgConn().PID())}, names(t, b.nats))
}

func TestSeveralConfigurationsInOneSession(t *testing.T) {
	b := setup(t)
	second := natsserver.Run(t)
	b.exec(t, "SELECT rule_nats_configure('second', $1)", second.URL())
	// A publish that is on its way when its server ends waits so long for another connection.
	b.set(t, "connection_timeout_ms = 10000, publish_timeout_ms = 10000 WHERE config_name = 'second'")
	b.exec(t, `INSERT INTO rule_nats_streams (config_id, stream_name, subjects)
		SELECT config_id, 'SECOND', '{webhooks.>}' FROM rule_nats_config WHERE config_name = 'second'`)
	b.exec(t, "SELECT rule_webhook_register('invoices', 'https://example.com/')")
	b.exec(t, "SELECT rule_webhook_enable_nats(2, p_publish_mode => 'nats', p_config_name => 'second')")
	for range 3 {
		b.webhook = 1
		require.Equal(t, "WEBHOOKS", b.publish(t)["stream"])
		b.webhook = 2
		require.Equal(t, "SECOND", b.publish(t)["stream"])
	}
	require.Len(t, names(t, b.nats), 1)
	require.Len(t, names(t, second), 1)

	second.Stop()
	require.Eventually(t, func() bool { return b.publish(t)["success"] == false }, patience, 50*time.Millisecond)
	b.webhook = 1
	b.works(t)
}

func TestDISCARDALLIsHarmless(t *testing.T) {
	b := setup(t)
	b.works(t)
	before := b.nats.Connections(t)
	b.exec(t, "DISCARD ALL")
	// The driver's own plans went with it.
	require.NoError(t, b.conn.DeallocateAll(t.Context()))
	b.works(t)
	require.Equal(t, before[0].Cid, b.nats.Connections(t)[0].Cid, "the connection stays")
}

func TestAConnectionEndsWithItsBackendAndWithItsConfiguration(t *testing.T) {
	b := setup(t)
	b.works(t)
	b.set(t, "publish_timeout_ms = 30000")
	b.works(t)
	require.Eventually(t, func() bool { return len(names(t, b.nats)) == 1 }, patience, 10*time.Millisecond)
	require.NoError(t, b.conn.Close(t.Context()))
	require.Eventually(t, func() bool { return len(names(t, b.nats)) == 0 }, patience, 10*time.Millisecond)
}

func TestAConnectionThatIsNotUsedIsClosedAfterTheIdleTime(t *testing.T) {
	b := setup(t)
	b.set(t, "idle_timeout_seconds = 1")
	for n := range 2 {
		b.works(t)
		require.Eventually(t, func() bool { return len(b.nats.Ended(t)) == n+1 }, patience, 10*time.Millisecond)
		require.Empty(t, names(t, b.nats))
		for _, c := range b.nats.Ended(t) {
			require.GreaterOrEqual(t, c.Stop.Sub(c.LastActivity), 900*time.Millisecond)
		}
	}
	b.set(t, "idle_timeout_seconds = 0")
	b.works(t)
	require.Never(t, func() bool { return len(names(t, b.nats)) != 1 }, 1500*time.Millisecond, 50*time.Millisecond)
}

func TestInitWarnsOfAStreamOfTheSameNameElsewhere(t *testing.T) {
	b := setup(t)
	require.NotContains(t, b.json(t, "SELECT rule_nats_init()"), "warnings")
	b.exec(t, "SELECT rule_nats_configure('second', 'nats://elsewhere:4222')")
	warnings := b.json(t, "SELECT rule_nats_init()")["warnings"].([]any)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "configuration second has a stream WEBHOOKS, too")
	b.exec(t, "SELECT rule_nats_configure('second', 'nats://elsewhere:4222', p_stream_name => 'SECOND')")
	require.NotContains(t, b.json(t, "SELECT rule_nats_init()"), "warnings")
}
