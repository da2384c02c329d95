package publish

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/proxy"
)

// window is the stream's duplicate window in these tests.
const window = time.Second

// setupForgetful is a bundle whose stream keeps what it has and soon forgets its messages' ids.
func setupForgetful(t *testing.T, nats *natsserver.Process) (*bundle, *proxy.Proxy) {
	t.Helper()
	b := setupWith(t, nats)
	line := proxy.Run(t, b.nats.URL())
	exec(t, b.admin, "UPDATE rule_nats_config SET nats_url = $1, publish_timeout_ms = 6000", line.URL())
	exec(t, b.admin, "UPDATE rule_nats_streams SET duplicate_window_seconds = $1", int(window.Seconds()))
	b.publish(t, b.admin, nil)
	return b, line
}

func dropAcks(fromServer bool, piece []byte) proxy.Fate {
	if fromServer && isAck(piece) {
		return proxy.Drop
	}
	return proxy.Pass
}

func TestASessionDoesNotSendAgainWhatTheStreamMayHaveForgotten(t *testing.T) {
	t.Parallel()
	b, line := setupForgetful(t, natsserver.RunProcess(t))
	line.Judge(theFirst(proxy.Drop))
	answer := b.publish(t, b.admin, "unanswered")
	require.Equal(t, "no_answer", answer["error_code"], "%v", answer)
	require.Equal(t, true, answer["unknown"])
	require.Equal(t, "queue", answer["fallback"])
	require.EqualValues(t, 2, b.last(t))
}

func TestAWorkerLooksUpWhatWasNotAnsweredBeforeItPublishesItAgain(t *testing.T) {
	for name, run := range map[string]func(testing.TB) *natsserver.Process{
		"current": natsserver.RunProcess, "oldest": natsserver.RunOldest,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, line := setupForgetful(t, run(t))
			// Others before and after it, and one of them gone.
			_, js := natsserver.Connect(t, b.nats.URL())
			for range 20 {
				_, err := js.Publish(t.Context(), "webhooks.orders", []byte("{}"))
				require.NoError(t, err)
			}
			require.NoError(t, b.stream(t).DeleteMsg(t.Context(), 7))
			line.Judge(dropAcks)
			for _, id := range []string{"stored 1", "stored 2"} {
				require.Equal(t, true, b.publish(t, b.admin, id)["unknown"])
				// Waits for the PONG without which nothing is sent.
				require.Equal(t, 1, b.count(t, "SELECT count(*) WHERE (rule_nats_health_check() -> 'connected')::boolean"))
			}
			line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
				if !fromServer {
					return proxy.Reset // before the server has it
				}
				return proxy.Pass
			})
			answer := b.publish(t, b.admin, "never stored")
			require.Equal(t, false, answer["success"], "%v", answer)
			before := b.last(t)
			time.Sleep(2 * window) // the ids are forgotten

			b.worker(t, "WORKER_SOURCES=queue")
			b.becomes(t, 3, "SELECT count(*) FROM rule_webhook_queue WHERE route = 'stream'")
			require.EqualValues(t, before+1, b.last(t))
			message, err := b.stream(t).GetMsg(t.Context(), before+1)
			require.NoError(t, err)
			require.Equal(t, "never stored", message.Header.Get("Rule-Engine-Message-Id"))
			require.Empty(t, message.Header.Get("Rule-Engine-Unanswered-Ms"))
		})
	}
}
