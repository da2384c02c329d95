package publish

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
)

func TestTheFirstPublishMakesTheStreamAndAnUnchangedOneIsLeftAlone(t *testing.T) {
	b := setup(t)
	answer := b.publish(t, b.admin, nil)
	require.Equal(t, true, answer["success"], "%v", answer)
	require.Equal(t, "WEBHOOKS", answer["stream"])
	require.EqualValues(t, 1, answer["sequence"])

	info, err := b.stream(t).Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, jetstream.WorkQueuePolicy, info.Config.Retention)
	var source string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT source_id::text FROM rule_engine_source").Scan(&source))
	require.Equal(t, source, info.Config.Metadata["rule_engine_source"])

	require.Equal(t, "unchanged", b.init(t)[0]["state"])
	exec(t, b.admin, "UPDATE rule_nats_streams SET max_messages = 1000")
	require.Equal(t, "updated", b.init(t)[0]["state"])
	require.Equal(t, "unchanged", b.init(t)[0]["state"])
	exec(t, b.admin, "UPDATE rule_nats_streams SET storage_type = 'memory'")
	report := b.init(t)[0]
	require.Equal(t, "different", report["state"])
	require.Contains(t, report["error"], "storage type")
}

func (b *bundle) init(t *testing.T) []map[string]any {
	t.Helper()
	var streams []byte
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_nats_init() -> 'streams'").Scan(&streams))
	var reports []map[string]any
	require.NoError(t, json.Unmarshal(streams, &reports))
	return reports
}

func TestAPublisherOnlyLearnsHowStreamsDiffer(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, "SELECT rule_engine_create_roles()")
	exec(t, b.admin, "SET ROLE rule_engine_publisher")
	require.Equal(t, "missing", b.init(t)[0]["state"])
	exec(t, b.admin, "RESET ROLE")
	require.Equal(t, "created", b.init(t)[0]["state"])
}

func TestOneMessageIDOfTwoWebhooksIsTwoEvents(t *testing.T) {
	b := setup(t)
	require.Equal(t, false, b.publish(t, b.admin, "same")["duplicate"])
	require.Equal(t, true, b.publish(t, b.admin, "same")["duplicate"])
	b.webhook = b.register(t, "invoices")
	require.Equal(t, false, b.publish(t, b.admin, "same")["duplicate"])
}

func TestTheBodyIsThePayloadAndTheHeadersSayWhoseItIs(t *testing.T) {
	b := setup(t)
	payload := `{"big": 9223372036854775808, "huge": 1e400, "text": "a\u2028b \u00e9 \ud83d\ude00"}`
	exec(t, b.admin, "SELECT rule_webhook_publish_nats($1, $2, 'm')", b.webhook, payload)
	message, err := b.stream(t).GetMsg(t.Context(), 1)
	require.NoError(t, err)

	var stored, source, transaction string
	require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT h.payload::text, s.source_id::text, h.transaction::text
		FROM rule_nats_publish_history h, rule_engine_source s`).Scan(&stored, &source, &transaction))
	require.Equal(t, stored, string(message.Data))
	require.Equal(t, source+":1:m", message.Header.Get("Nats-Msg-Id"))
	require.Equal(t, source, message.Header.Get("Rule-Engine-Source"))
	require.Equal(t, "1", message.Header.Get("Rule-Engine-Webhook-Id"))
	require.Equal(t, "orders", message.Header.Get("Rule-Engine-Webhook-Name"))
	require.Equal(t, "m", message.Header.Get("Rule-Engine-Message-Id"))
	require.Equal(t, transaction, message.Header.Get("Rule-Engine-Transaction"))
}

func TestWithoutJetStreamAPublishHasNoStreamAndNoSequence(t *testing.T) {
	b := setup(t)
	exec(t, b.admin, "UPDATE rule_nats_config SET jetstream_enabled = false")
	nc, _ := natsserver.Connect(t, b.nats.URL())
	heard, err := nc.SubscribeSync("webhooks.>")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	answer := b.publish(t, b.admin, nil)
	require.Equal(t, true, answer["success"])
	require.NotContains(t, answer, "stream")
	require.NotContains(t, answer, "sequence")
	message, err := heard.NextMsgWithContext(t.Context())
	require.NoError(t, err)
	require.Equal(t, `{"n": 1}`, string(message.Data))
}
