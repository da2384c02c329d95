package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks, in the spelling that net/http keeps them by.
const (
	idHeader        = "Webhook-Id"
	timestampHeader = "Webhook-Timestamp"
	signatureHeader = "Webhook-Signature"
)

var errSecret = errors.New("a signing secret of the webhook is neither whsec_ nor whsk_ and base64 of a key")

// signingKey makes one entry of a signature header.
type signingKey struct {
	shared  []byte             // v1: the receiver has the same
	private ed25519.PrivateKey // v1a: the receiver has the public half; nil for v1
}

func (k signingKey) sign(content []byte) string {
	if k.private != nil {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, content))
	}
	mac := hmac.New(sha256.New, k.shared)
	mac.Write(content)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signingKeys reads secrets of the form whsec_ or whsk_ and base64. A webhook
// with a secret that cannot be read is not sent at all: its receiver counts on it.
func signingKeys(secrets []string) ([]signingKey, error) {
	var keys []signingKey
	for _, s := range secrets {
		kind, text, _ := strings.Cut(s, "_")
		secret, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil || len(secret) == 0 {
			return nil, errSecret
		}
		switch kind {
		case "whsec":
			keys = append(keys, signingKey{shared: secret})
		case "whsk":
			private := privateKey(secret)
			if private == nil {
				return nil, errSecret
			}
			keys = append(keys, signingKey{private: private})
		default:
			return nil, errSecret
		}
	}
	return keys, nil
}

// privateKey takes a seed, alone or with its public key behind it, as the
// libraries of the specification write it; nil for anything else.
func privateKey(secret []byte) ed25519.PrivateKey {
	switch len(secret) {
	case ed25519.SeedSize, ed25519.PrivateKeySize:
	default:
		return nil
	}
	private := ed25519.NewKeyFromSeed(secret[:ed25519.SeedSize])
	if !slices.Equal(private[:len(secret)], secret) {
		return nil
	}
	return private
}

const wrapped = "b64_"

// webhookID is how a message id travels. Receivers may put it into file names
// and keys, so what is outside of the usual set is wrapped; and so is what looks
// wrapped, or two events could have one webhook-id.
func webhookID(messageID string) string {
	if len(messageID) <= 128 && messageID != "" && !strings.HasPrefix(messageID, wrapped) && !strings.ContainsFunc(messageID, unusual) {
		return messageID
	}
	return wrapped + base64.RawURLEncoding.EncodeToString([]byte(messageID))
}

func unusual(r rune) bool {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_', r == '-':
		return false
	}
	return true
}

// sign puts the three headers of one try into h. The timestamp is the try's:
// receivers refuse old ones.
func sign(h http.Header, keys []signingKey, messageID string, at time.Time, body []byte) {
	id, stamp := webhookID(messageID), strconv.FormatInt(at.Unix(), 10)
	h[idHeader] = []string{id}
	h[timestampHeader] = []string{stamp}
	if len(keys) == 0 {
		return
	}
	content := slices.Concat([]byte(id+"."+stamp+"."), body)
	signatures := make([]string, len(keys))
	for i, key := range keys {
		signatures[i] = key.sign(content)
	}
	h[signatureHeader] = []string{strings.Join(signatures, " ")}
}
