package endpoint

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far the Standard Webhooks libraries let a timestamp be off.
const tolerance = 5 * time.Minute

var (
	errUnsigned = errors.New("no webhook-signature")
	errStale    = errors.New("webhook-timestamp is too old or too new")
	errMismatch = errors.New("no signature matches")
)

// Verify checks a request as a receiver does who knows the secret ("whsec_…") or the public key
// ("whpk_…"). It is written from the specification and shares nothing with the code that signs.
func Verify(secret string, header http.Header, body []byte, now time.Time) error {
	kind, encoded, _ := strings.Cut(secret, "_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	id, stamp, signatures := header.Get("webhook-id"), header.Get("webhook-timestamp"), header.Get("webhook-signature")
	if signatures == "" {
		return errUnsigned
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("webhook-timestamp: %w", err)
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > tolerance || off < -tolerance {
		return errStale
	}
	content := slices.Concat([]byte(id+"."+stamp+"."), body)
	version, valid := "v1", func(signature []byte) bool {
		mac := hmac.New(sha256.New, key)
		mac.Write(content)
		return hmac.Equal(signature, mac.Sum(nil))
	}
	if kind == "whpk" {
		version, valid = "v1a", func(signature []byte) bool { return ed25519.Verify(key, content, signature) }
	}
	for _, entry := range strings.Fields(signatures) {
		of, value, _ := strings.Cut(entry, ",")
		if of != version {
			continue
		}
		if signature, err := base64.StdEncoding.DecodeString(value); err == nil && valid(signature) {
			return nil
		}
	}
	return errMismatch
}
