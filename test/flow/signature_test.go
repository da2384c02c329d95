package flow

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// secret makes a secret of a webhook in SQL.
func (b *bundle) secret(t *testing.T, id int32, name string, value any) (secret string) {
	t.Helper()
	err := b.admin.QueryRow(t.Context(), "SELECT rule_webhook_secret_set($1, $2, $3)", id, name, value).Scan(&secret)
	require.NoError(t, err)
	return secret
}

// publicOf is what a receiver gets of a key that SQL made.
func publicOf(t *testing.T, secret string) string {
	t.Helper()
	seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsk_"))
	require.NoError(t, err)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	return "whpk_" + base64.StdEncoding.EncodeToString(public)
}

func TestEachSecretSignsUntilItExpires(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			shared, private := b.secret(t, id, "shared", nil), b.secret(t, id, "pair", "whsk_")
			b.must(t, "SELECT rule_webhook_secret_delete($1, 'signing')", id)
			b.worker(t)
			const body = `{"n": 1.10, "s": "\u00fc"}`
			publishBody(t, b.application, id, "both secrets", body)
			r := b.Endpoint.Wait(t, 1, patience)[0]
			require.Len(t, strings.Fields(r.Header.Get("webhook-signature")), 2)
			require.NoError(t, endpoint.Verify(shared, r.Header, r.Body, r.At))
			require.NoError(t, endpoint.Verify(publicOf(t, private), r.Header, r.Body, r.At))

			// The reference library knows v1 alone, and must not be confused by the other.
			reference, err := standardwebhooks.NewWebhook(shared)
			require.NoError(t, err)
			require.NoError(t, reference.Verify(r.Body, r.Header))
			require.Error(t, reference.Verify(append(r.Body, ' '), r.Header))

			b.must(t, "UPDATE rule_webhook_secrets SET expires_at = now() WHERE webhook_id = $1 AND secret_name = 'shared'", id)
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_secrets WHERE webhook_id = $1 AND secret_name = 'shared'", id)
			// A worker that has deleted what expired has the endpoint anew by its next look.
			var last endpoint.Request
			for _, event := range names("after", 40) {
				n := len(b.Endpoint.Requests())
				publish(t, b.application, id, event)
				last = b.Endpoint.Wait(t, n+1, patience)[n]
				if len(strings.Fields(last.Header.Get("webhook-signature"))) == 1 {
					break
				}
			}
			require.NoError(t, endpoint.Verify(publicOf(t, private), last.Header, last.Body, last.At))
			require.Error(t, reference.Verify(last.Body, last.Header))
		})
	}
}
