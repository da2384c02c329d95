package publish

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/proxy"
)

// isAck tells whether a piece of what the server says holds the ack of a publish.
func isAck(piece []byte) bool { return bytes.Contains(piece, []byte(`"seq":`)) }

// theFirst is a judge that gives the first ack a fate.
func theFirst(fate proxy.Fate) proxy.Judge {
	var gone atomic.Bool
	return func(fromServer bool, piece []byte) proxy.Fate {
		if fromServer && isAck(piece) && !gone.Swap(true) {
			return fate
		}
		return proxy.Pass
	}
}

func TestAnEventWhoseAckWasLostIsStoredOnce(t *testing.T) {
	for name, fate := range map[string]proxy.Fate{
		"dropped": proxy.Drop, "reset": proxy.Reset, "garbled": proxy.Garble,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, line := setupLine(t)
			// What was dropped is sent again after half of it.
			exec(t, b.admin, "UPDATE rule_nats_config SET publish_timeout_ms = 10000")
			conn := b.session(t)
			b.publish(t, conn, nil)
			for i, id := range []any{nil, "named"} {
				line.Judge(theFirst(fate))
				answer := b.publish(t, conn, id)
				require.Equal(t, true, answer["success"], "%v", answer)
				require.Equal(t, false, answer["duplicate"], "%v", answer)
				require.NotContains(t, answer, "republished")
				require.EqualValues(t, 2+i, b.stored(t))
			}
		})
	}
}

func TestAnIDThatARolledBackPublishTookIsSentAgainAlsoWhenAnAckIsLost(t *testing.T) {
	b, line := setupLine(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET publish_timeout_ms = 10000")
	conn := b.session(t)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	b.publish(t, tx, "tried twice")
	require.NoError(t, tx.Rollback(t.Context()))
	line.Judge(theFirst(proxy.Drop))
	answer := b.publish(t, conn, "tried twice")
	require.Equal(t, true, answer["republished"], "%v", answer)
	require.EqualValues(t, 2, b.stored(t))
}
