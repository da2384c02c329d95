package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
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

var errSecret = errors.New("a signing secret of the webhook is not whsec_ and base64")

// signingKeys reads secrets of the form whsec_ and base64. A webhook with a
// secret that cannot be read is not sent at all: its receiver counts on it.
func signingKeys(secrets []string) ([][]byte, error) {
	var keys [][]byte
	for _, s := range secrets {
		text, ok := strings.CutPrefix(s, "whsec_")
		if !ok {
			return nil, errSecret
		}
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil || len(key) == 0 {
			return nil, errSecret
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// webhookID is how a message id travels. Receivers may put it into file names
// and keys, so what is outside of the usual set is wrapped.
func webhookID(messageID string) string {
	if len(messageID) <= 128 && messageID != "" && !strings.ContainsFunc(messageID, unusual) {
		return messageID
	}
	return "b64_" + base64.RawURLEncoding.EncodeToString([]byte(messageID))
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
func sign(h http.Header, keys [][]byte, messageID string, at time.Time, body []byte) {
	id, stamp := webhookID(messageID), strconv.FormatInt(at.Unix(), 10)
	h[idHeader] = []string{id}
	h[timestampHeader] = []string{stamp}
	if len(keys) == 0 {
		return
	}
	head := []byte(id + "." + stamp + ".")
	var signatures strings.Builder
	for i, key := range keys {
		if i > 0 {
			signatures.WriteByte(' ')
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(head)
		mac.Write(body)
		signatures.WriteString("v1,")
		signatures.WriteString(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h[signatureHeader] = []string{signatures.String()}
}
