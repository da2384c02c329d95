package settings

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/proxy"
)

// denying is a server whose user events may not publish or subscribe to some subjects.
func denying(publish, subscribe []string) func(*server.Options) {
	return func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "events", Password: "events", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Deny: publish},
				Subscribe: &server.SubjectPermission{Deny: subscribe},
			}},
			{Username: "all", Password: "all"},
		}
	}
}

// setupDenied is a bundle that logs in as events, with the stream made by another user.
func setupDenied(t *testing.T, publish, subscribe []string) *bundle {
	t.Helper()
	b := setup(t, denying(publish, subscribe))
	b.set(t, "auth_type = 'userpass', auth_user = 'all', auth_password = 'all'")
	require.Equal(t, true, b.json(t, "SELECT rule_nats_init()")["success"])
	b.set(t, "auth_user = 'events', auth_password = 'events'")
	return b
}

func TestAPublishThatTheAccountMayNotMakeIsAnsweredAtOnce(t *testing.T) {
	b := setupDenied(t, []string{"webhooks.>"}, nil)
	for _, jetstream := range []bool{true, false} {
		b.set(t, "jetstream_enabled = $1", jetstream)
		for range 2 {
			began := time.Now()
			answer := b.publish(t)
			require.Less(t, time.Since(began), quick)
			require.Equal(t, "permission_denied", answer["error_code"], "%v", answer)
			require.Equal(t, `permission denied: the account may not publish to "webhooks.orders"`, answer["error"])
			require.Equal(t, false, answer["unknown"])
			require.Equal(t, "queue", answer["fallback"])
		}
	}
	require.Equal(t, true, b.health(t)["connected"])
}

func TestAnAccountThatCannotHearAcksIsTold(t *testing.T) {
	b := setupDenied(t, nil, []string{"_INBOX.>"})
	began := time.Now()
	answer := b.publish(t)
	require.Equal(t, "permission_denied", answer["error_code"], "%v", answer)
	require.Contains(t, answer["error"], `may not subscribe to "_INBOX`)
	require.Equal(t, true, answer["unknown"], "the stream may have it")
	answer = b.publish(t)
	require.Equal(t, false, answer["unknown"], "nothing more is sent: %v", answer)
	require.Equal(t, "permission_denied", answer["error_code"])
	require.Less(t, time.Since(began), quick)
}

func TestHealthSaysWhatTheAccountMayNotAsk(t *testing.T) {
	b := setupDenied(t, []string{"$JS.API.>"}, nil)
	began := time.Now()
	health := b.health(t)
	require.Less(t, time.Since(began), quick)
	require.Equal(t, true, health["connected"])
	require.Contains(t, health["jetstream_error"], "permission denied")
	stream := health["streams"].([]any)[0].(map[string]any)
	require.Contains(t, stream["error"], "$JS.API.STREAM.INFO.WEBHOOKS")
	b.works(t)
}

func TestAStreamThatTheAccountMayNotMake(t *testing.T) {
	b := setup(t, denying([]string{"$JS.API.STREAM.CREATE.>"}, nil))
	b.set(t, "auth_type = 'userpass', auth_user = 'events', auth_password = 'events'")
	b.refusedPublish(t, "no_stream", "could not be made: permission denied")
	init := b.json(t, "SELECT rule_nats_init()")
	require.Equal(t, false, init["success"])
	require.Contains(t, init["message"], "permission denied")
}

func TestAServerWithAllItsConnectionsTaken(t *testing.T) {
	b := setup(t, func(o *server.Options) { o.MaxConn = 1 })
	other, _ := natsserver.Connect(t, b.nats.URL())
	b.refused(t, "nats_away", "maximum connections exceeded")
	other.Close()
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond)
}

func TestAPayloadOverTheServersLimitIsAnError(t *testing.T) {
	b := setup(t, func(o *server.Options) { o.MaxPayload = 1000 })
	b.works(t)
	// Alone, and only with its headers.
	for _, size := range []int{2000, 900} {
		_, err := b.conn.Exec(t.Context(), "SELECT rule_webhook_publish_nats(1, to_jsonb($1::text))", strings.Repeat("x", size))
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "54000", pg.Code)
		require.Contains(t, pg.Message, "max_payload of 1000")
	}
	b.works(t)
}

func TestThePermissionsThatTheDocumentationNamesAreEnough(t *testing.T) {
	b := setup(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "events", Password: "events", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"webhooks.>", "$JS.API.STREAM.CREATE.*", "$JS.API.INFO",
				"$JS.API.STREAM.INFO.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.MSG.GET.*"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}}
	})
	line := proxy.Run(t, b.nats.URL())
	// A message is sent again after half of its time.
	b.set(t, "auth_type = 'userpass', auth_user = 'events', auth_password = 'events', nats_url = $1, publish_timeout_ms = 10000", line.URL())
	b.works(t)
	b.exec(t, "UPDATE rule_nats_streams SET max_messages = 100")
	init := b.json(t, "SELECT rule_nats_init()")
	require.Equal(t, true, init["success"], "%v", init)
	health := b.health(t)
	require.NotContains(t, health, "jetstream_error")
	require.NotContains(t, health["streams"].([]any)[0], "error")

	var lost atomic.Bool
	line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
		if fromServer && bytes.Contains(piece, []byte(`"seq":2`)) && !lost.Swap(true) {
			return proxy.Drop
		}
		return proxy.Pass
	})
	answer := b.json(t, `SELECT rule_webhook_publish_nats(1, '{}', 'named')`)
	require.True(t, lost.Load())
	require.Equal(t, true, answer["success"], "%v", answer)
	require.Equal(t, false, answer["duplicate"])
}
