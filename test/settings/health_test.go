package settings

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/proxy"
)

func TestHealthSaysHowFullJetStreamAndItsStreamsAre(t *testing.T) {
	b := setup(t, func(o *server.Options) { o.JetStreamMaxStore = 4 << 30 })
	b.exec(t, "UPDATE rule_nats_streams SET max_messages = 5")
	health := b.health(t)
	stream := health["streams"].([]any)[0].(map[string]any)
	require.Contains(t, stream["error"], "not in NATS yet")
	for range 4 {
		b.works(t)
	}
	health = b.health(t)
	require.Equal(t, true, health["connected"])
	require.Equal(t, "test", health["server"])
	require.NotEmpty(t, health["server_version"])
	require.Greater(t, health["round_trip_ms"], 0.0)
	jetstream := health["jetstream"].(map[string]any)
	require.EqualValues(t, 1, jetstream["streams"])
	require.Contains(t, jetstream, "max_file_bytes")
	stream = health["streams"].([]any)[0].(map[string]any)
	require.EqualValues(t, 4, stream["messages"])
	require.EqualValues(t, 5, stream["max_messages"])
	require.EqualValues(t, 80, stream["fill_percentage"])
	require.Equal(t, []any{"the stream is 80 % full"}, stream["warnings"])

	b.exec(t, "UPDATE rule_nats_streams SET discard_policy = 'old'")
	stream = b.health(t)["streams"].([]any)[0].(map[string]any)
	require.Len(t, stream["warnings"], 2, "%v", stream)
}

func TestHealthIsNeverSlowerThanTheConnectionTimeout(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	const timeout = 4 * time.Second
	b.set(t, "nats_url = $1, connection_timeout_ms = $2", line.URL(), timeout.Milliseconds())
	look := func() (map[string]any, time.Duration) {
		began := time.Now()
		health := b.health(t)
		return health, time.Since(began)
	}
	b.works(t)
	health, _ := look()
	require.Equal(t, true, health["connected"])
	for _, spoiling := range []struct {
		name  string
		spoil func()
	}{
		{"a standing connection goes silent", line.BlackHole},
		{"and is lost, with silence behind", line.Cut},
	} {
		name := spoiling.name
		spoiling.spoil()
		health, spent := look()
		require.Equal(t, false, health["connected"], name)
		require.NotEmpty(t, health["error"])
		require.Less(t, spent, quick, name)
		// It is remembered for one connection time-out.
		health, spent = look()
		require.Equal(t, false, health["connected"], name)
		require.Less(t, spent, timeout, name)
		time.Sleep(timeout + 100*time.Millisecond)
	}
	line.Heal()
	line.Cut()
	require.Eventually(t, func() bool { h, _ := look(); return h["connected"] == true }, patience, 50*time.Millisecond)
}

func TestHealthAnswersWhenJetStreamDoesNot(t *testing.T) {
	b := setup(t, withoutJetStream)
	b.set(t, "connection_timeout_ms = 4000")
	began := time.Now()
	health := b.health(t)
	require.Less(t, time.Since(began), quick)
	require.Equal(t, true, health["connected"], "%v", health)
	require.NotEmpty(t, health["jetstream_error"])
}

func TestManyDeadConfigurationsCostALookLittleMoreThanOne(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	line.BlackHole()
	const timeout = 4 * time.Second
	for i := range 10 {
		b.exec(t, "INSERT INTO rule_nats_config (config_name, nats_url, connection_timeout_ms) VALUES ($1, $2, $3)",
			fmt.Sprintf("dead %d", i), line.URL(), timeout.Milliseconds())
	}
	began := time.Now()
	rows, err := b.conn.Query(t.Context(), `SELECT (rule_nats_health_check(config_name) -> 'connected')::boolean
		FROM rule_nats_config ORDER BY config_name = 'default', config_name`)
	require.NoError(t, err)
	connected, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*timeout)
	require.Equal(t, append(make([]bool, 10), true), connected, "the one that is alive comes last")
}
