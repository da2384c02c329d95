package main

import (
	"crypto/ed25519"
	"encoding/base64"
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
	PublicKeys []struct {
		Secret    string
		PublicKey string `json:"public_key"`
	} `json:"public_keys"`
}

func readSignatures(t *testing.T) (g goldenSignatures) {
	t.Helper()
	text, err := os.ReadFile("../../../test/golden/signatures.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &g))
	require.NotEmpty(t, g.Signatures)
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

func TestAPublicKeyIsTheGoldenOneOfItsSeed(t *testing.T) {
	g := readSignatures(t)
	require.NotEmpty(t, g.PublicKeys)
	for _, c := range g.PublicKeys {
		keys, err := signingKeys([]string{c.Secret})
		require.NoError(t, err)
		public := keys[0].private.Public().(ed25519.PublicKey)
		require.Equal(t, c.PublicKey, "whpk_"+base64.StdEncoding.EncodeToString(public))
	}
}

func TestASecretThatCannotBeReadStopsTheWebhookAndIsNotShown(t *testing.T) {
	for _, secret := range []string{"", "whsec_", "whsec_!hunter2!", "hunter2", "whsk_", "whsk_aHVudGVyMg==",
		// 32 bytes that are not the public key of the 32 before.
		"whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 64)),
		"whpk_" + base64.StdEncoding.EncodeToString(make([]byte, 32))} {
		_, err := signingKeys([]string{"whsec_aHVudGVyMg==", secret})
		require.ErrorIs(t, err, errSecret, "%q", secret)
		require.False(t, strings.Contains(err.Error(), "hunter2"))
	}
}
