package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type goldenSignatures struct {
	Signatures []struct {
		Name      string
		MessageID string `json:"message_id"`
		Timestamp int64
		Body      string
		Secrets   []string
		Headers   map[string]string
	}
	WebhookIDs []struct {
		MessageID string `json:"message_id"`
		WebhookID string `json:"webhook_id"`
	} `json:"webhook_ids"`
}

func readSignatures(t *testing.T) (g goldenSignatures) {
	t.Helper()
	text, err := os.ReadFile("../../../test/golden/signatures.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &g))
	require.NotEmpty(t, g.Signatures)
	require.NotEmpty(t, g.WebhookIDs)
	return g
}

func TestSignaturesAreTheGoldenOnes(t *testing.T) {
	for _, c := range readSignatures(t).Signatures {
		t.Run(c.Name, func(t *testing.T) {
			keys, err := signingKeys(c.Secrets)
			require.NoError(t, err)
			h := http.Header{}
			sign(h, keys, c.MessageID, time.Unix(c.Timestamp, 0), []byte(c.Body))
			require.Len(t, h, len(c.Headers))
			for name, value := range c.Headers {
				require.Equal(t, value, h.Get(name), name)
			}
		})
	}
}

func TestMessageIDsTravelAsInTheGoldenFile(t *testing.T) {
	for _, c := range readSignatures(t).WebhookIDs {
		require.Equal(t, c.WebhookID, webhookID(c.MessageID))
	}
}

func TestASecretThatCannotBeReadStopsTheWebhookAndIsNotShown(t *testing.T) {
	for _, secret := range []string{"", "whsec_", "whsec_!hunter2!", "hunter2", "whsk_aHVudGVyMg=="} {
		_, err := signingKeys([]string{"whsec_aHVudGVyMg==", secret})
		require.ErrorIs(t, err, errSecret, "%q", secret)
		require.False(t, strings.Contains(err.Error(), "hunter2"))
	}
}
