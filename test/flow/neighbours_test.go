package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

func TestAnotherDatabasesEventIsLeftAloneAndTheWorkerSaysWhatToSet(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "CREATE DATABASE other")
	other := b.Postgres.Connect(t, "other", system.Administrator)
	var theirs int32
	_, err := other.Exec(t.Context(), "CREATE EXTENSION rule_engine")
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), fmt.Sprintf("SELECT rule_nats_configure(p_nats_url => '%s')", b.NATSURL()))
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "UPDATE rule_nats_config SET connection_timeout_ms = 20000, publish_timeout_ms = 20000")
	require.NoError(t, err)
	require.NoError(t, other.QueryRow(t.Context(), "SELECT rule_webhook_register('theirs', $1)", b.Endpoint.URL()+"/theirs").Scan(&theirs))
	_, err = other.Exec(t.Context(), "SELECT rule_webhook_enable_nats($1, p_publish_mode => 'nats')", theirs)
	require.NoError(t, err)
	require.Equal(t, id, theirs, "its id must be one that is known here")

	published(t, b.application, id, "first") // makes the stream
	for _, event := range names("theirs", 3) {
		published(t, other, theirs, event)
	}
	published(t, b.application, id, "last")
	w := b.worker(t)
	b.arrived(t, "first", "last")
	b.inStream(t, 3)
	const says = "messages of another database in the stream; give each database a stream or a subject_prefix of its own"
	require.Eventually(t, func() bool { return strings.Contains(w.Log(), says) }, patience, 20*time.Millisecond)
	require.NoError(t, w.Stop())

	require.Equal(t, 1, strings.Count(w.Log(), says), w.Log())
	b.inStream(t, 3)
	b.arrived(t, "first", "last")
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_drops")
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_dead_letters")
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_receipts WHERE message_id LIKE 'theirs%'")
}

func TestWhatNobodysPublishLeftInTheStreamBecomesADeadLetter(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "first") // makes the stream
	nc, _ := natsserver.Connect(t, b.NATS.URL())
	source := b.sourceID(t)
	from := func(webhook, messageID string) nats.Header {
		return nats.Header{"Rule-Engine-Source": {source}, "Rule-Engine-Webhook-Id": {webhook}, "Rule-Engine-Message-Id": {messageID}}
	}
	for _, stranger := range []*nats.Msg{
		{Subject: "webhooks.strange", Data: []byte("\xff\x00 no JSON")},
		{Subject: "webhooks.strange", Data: []byte(`{"id": 1}`), Header: nats.Header{"Rule-Engine-Source": {source}}},
		{Subject: "webhooks.strange", Data: []byte(`{"id": 2}`), Header: from("999999", "two")},
		{Subject: "webhooks.strange", Header: from("one", "three")},
	} {
		require.NoError(t, nc.PublishMsg(stranger))
	}
	require.NoError(t, nc.Flush())
	b.inStream(t, 5)
	w := b.worker(t)

	b.count(t, 4, "SELECT count(*) FROM rule_webhook_dead_letters")
	b.settled(t)
	b.arrived(t, "first")
	b.count(t, 1, `SELECT count(*) FROM rule_webhook_queue WHERE payload_bytes = '\xff00206e6f204a534f4e'`)
	b.count(t, 4, "SELECT count(*) FROM rule_webhook_dead_letters WHERE error_message <> ''")
	b.count(t, 4, "SELECT count(*) FROM rule_webhook_drops WHERE reason LIKE 'dead letter: %'")
	require.Eventually(t, func() bool { return strings.Count(w.Log(), "dead letter: ") == 4 }, patience, 20*time.Millisecond, w.Log())
}
