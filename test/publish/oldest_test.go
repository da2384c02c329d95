package publish

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
)

func TestTheOldestServerDoesAllOfItAndInitNamesWhatItLacks(t *testing.T) {
	b := setupWith(t, natsserver.RunOldest(t))
	ask := func(sql string) (answer map[string]any) {
		var text []byte
		require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT "+sql).Scan(&text))
		require.NoError(t, json.Unmarshal(text, &answer))
		return answer
	}
	state := func() any {
		init := ask("rule_nats_init()")
		require.Equal(t, true, init["success"], "%v", init)
		stream := init["streams"].([]any)[0].(map[string]any)
		require.Contains(t, stream["warnings"], "nats-server 2.9.25 keeps no metadata: that a stream belongs to another database is not noticed; 2.10 does")
		return stream["state"]
	}
	require.Equal(t, "created", state())
	require.Equal(t, "unchanged", state())
	exec(t, b.admin, "UPDATE rule_nats_streams SET max_messages = 1000")
	require.Equal(t, "updated", state())

	conn := b.session(t)
	answer := b.publish(t, conn, "event")
	require.Equal(t, true, answer["success"], "%v", answer)
	require.Equal(t, true, b.publish(t, conn, "event")["duplicate"])
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	b.publish(t, tx, "rolled back")
	require.NoError(t, tx.Rollback(t.Context()))

	health := ask("rule_nats_health_check()")
	require.Equal(t, true, health["connected"], "%v", health)
	require.Equal(t, "2.9.25", health["server_version"])
	require.EqualValues(t, 2, health["streams"].([]any)[0].(map[string]any)["messages"])

	endpoint := b.endpoint(t)
	b.worker(t)
	endpoint.Await(1, patience)
	require.Eventually(t, func() bool { return b.stored(t) == 0 }, patience, 50*time.Millisecond)

	b.killed(t, conn)
	require.Equal(t, "nats_away", b.publish(t, conn, "meanwhile")["error_code"])
	require.NoError(t, b.nats.StartAgain())
	got := endpoint.Await(2, patience)
	require.Len(t, got, 2)
	require.ElementsMatch(t, []string{"event", "meanwhile"}, []string{got[0].ID(), got[1].ID()})
	require.Eventually(t, func() bool { return b.stored(t) == 0 }, patience, 50*time.Millisecond)
}
