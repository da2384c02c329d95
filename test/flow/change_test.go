package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// No notification reaches a worker behind a pooler, and one whose session was cut off has missed it.
func TestAChangedEndpointReachesEachWorkerWithinASecondWithoutANotification(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.worker(t, "CONSUMER_NAME=pooled", "BATCH_SIZE=1", "DATABASE_URL="+b.databaseAt(pooler(t, fmt.Sprintf("127.0.0.1:%d", b.Postgres.Port))))
	line, env := b.databaseLine(t)
	b.worker(t, "CONSUMER_NAME=cut", "BATCH_SIZE=1", env)
	moved := endpoint.Run(t)
	sent, delivered := 0, "SELECT count(DISTINCT worker) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND started_at > $1"
	// until publishes until both workers have delivered since then.
	until := func(since time.Time) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			require.True(t, time.Now().Before(deadline), "not both workers took part")
			for range 4 {
				sent++
				publish(t, b.application, id, fmt.Sprint("event-", sent))
			}
			var workers int
			require.NoError(t, b.admin.QueryRow(t.Context(), delivered, since).Scan(&workers))
			if workers == 2 {
				return
			}
		}
	}
	until(time.Now())

	line.Cut()
	b.must(t, "SELECT rule_webhook_secret_delete($1, 'signing')", id)
	moved.AddSecret(b.secret(t, id, "another", nil))
	b.must(t, "SELECT rule_webhook_update($1, p_url => $2)", id, moved.URL()+"/moved")
	b.told(t, 2)
	b.settled(t)
	before := len(b.Endpoint.Requests())
	until(time.Now())
	require.Len(t, b.Endpoint.Requests(), before, "a worker still sends to where the endpoint was")
	requests := moved.Requests()
	require.NotEmpty(t, requests)
	for _, r := range requests {
		require.NoError(t, r.Signature, "URL and secret change together")
	}

	// Each asks every second. A busy machine is late with some of these, and not with most.
	var twice []time.Duration
	for range 5 {
		began := time.Now()
		b.told(t, 2)
		twice = append(twice, time.Since(began))
	}
	slices.Sort(twice)
	require.Less(t, twice[len(twice)/2], 4*time.Second)
}

func TestAnExpiredSecretSignsNoMoreAlsoWhileItsWebhookIsLocked(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.secret(t, id, "another", nil)
	b.worker(t)
	b.must(t, "UPDATE rule_webhook_secrets SET expires_at = clock_timestamp() + interval '1 second' WHERE secret_name = 'another'")
	tx := begin(t, b.admin)
	_, err := tx.Exec(t.Context(), "SELECT FROM rule_webhooks FOR UPDATE")
	require.NoError(t, err)

	for n, deadline := 1, time.Now().Add(patience); ; n++ {
		publish(t, b.application, id, fmt.Sprint("event-", n))
		last := b.Endpoint.Wait(t, n, patience)[n-1]
		require.NoError(t, last.Signature)
		if len(strings.Fields(last.Header.Get("webhook-signature"))) == 1 {
			break
		}
		require.True(t, time.Now().Before(deadline), "the secret signs still")
	}
}

// secret makes a secret of a webhook in SQL.
func (b *bundle) secret(t *testing.T, id int32, name string, value any) (secret string) {
	t.Helper()
	err := b.admin.QueryRow(t.Context(), "SELECT rule_webhook_secret_set($1, $2, $3)", id, name, value).Scan(&secret)
	require.NoError(t, err)
	return secret
}
