package conformance

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oneSent publishes one event and is the request that follows.
func (h hook) oneSent(s *server, messageID, body string) request {
	h.t.Helper()
	h.publish(messageID, body)
	require.Equal(h.t, "delivered", h.tries(1)[0].Outcome, h.attempts()[0].error())
	require.Len(h.t, s.got(), 1)
	return s.got()[0]
}

func TestABodyIsThePayloadByteForByte(t *testing.T) {
	for name, body := range map[string]string{
		"numbers":    `{"n": 9223372036854775808, "d": 1.10, "e": 1e400, "small": 1e-400, "z": -0.00}`,
		"letters":    "{\"line\": \"\u2028\u2029\", \"e\": \"\u00e9 e\u0301\", \"astral\": \"\U0001F600\", \"slash\": \"a/b\", \"html\": \"<&>'\"}",
		"escapes":    `{"s": "\u001f\t\n\"\\\u007f"}`,
		"a text":     `"text"`,
		"a number":   `18446744073709551616`,
		"null":       `null`,
		"empty":      `{}`,
		"one of two": `{"a": 1, "a": 2, "__proto__": {"x": 1}, "": 0}`,
		"large":      `["` + strings.Repeat("x\u00e9", 100_000) + `"]`,
	} {
		for _, mode := range []string{"queue", "nats"} {
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				s := serve(t, says(ok))
				h := aHook(t, s.url)
				if mode == "nats" {
					ask(t, nil, "SELECT rule_webhook_enable_nats($1, p_publish_mode => 'nats')", h.id)
				}
				var want string // as Postgres writes it, which is not as it was read
				ask(t, &want, "SELECT $1::text::jsonb::text", body)
				got := h.oneSent(s, "event", body)
				require.Equal(t, want, string(got.body))
				require.Equal(t, []string{strconv.Itoa(len(want))}, got.Header["Content-Length"])
			})
		}
	}
}

func TestARequestIsAsItsWebhookSays(t *testing.T) {
	t.Parallel()
	s := serve(t, says(ok))
	h := aHook(t, s.url+"/a%2Fb/../c;d?x=1&y=%20#fragment", "http_method = 'PUT'",
		`headers = '{"X-Team": "shop", "x-letters": "\u00fc", "Traceparent": "forged", "Accept": "a/b"}'`)
	shared.admin.mu.Lock()
	_, err := shared.admin.conn.Exec(t.Context(), `SET rule_engine.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'`)
	if err == nil {
		_, err = shared.admin.conn.Exec(t.Context(), "SELECT rule_webhook_call_unified($1, '{}', 'event')", h.id)
	}
	_, reset := shared.admin.conn.Exec(t.Context(), "RESET rule_engine.traceparent")
	shared.admin.mu.Unlock()
	require.NoError(t, err)
	require.NoError(t, reset)
	require.Equal(t, "delivered", h.tries(1)[0].Outcome)
	got := s.got()[0]
	require.Equal(t, "PUT", got.Method)
	require.Equal(t, "/a%2Fb/../c;d?x=1&y=%20", got.RequestURI)
	require.Equal(t, strings.TrimPrefix(s.url, "http://"), got.Host)
	for name, want := range map[string]string{
		"X-Team": "shop", "X-Letters": "\u00fc", "Accept": "a/b", "Content-Type": "application/json", "Webhook-Id": "event",
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	} {
		require.Equal(t, []string{want}, got.Header[name], name)
	}
	require.True(t, strings.HasPrefix(got.Header.Get("User-Agent"), "rule_engine-webhook-worker/"))
	for _, absent := range []string{"Accept-Encoding", "Expect", "Transfer-Encoding", "Webhook-Signature", "Cookie"} {
		require.NotContains(t, got.Header, absent)
	}
}

func TestARequestLineHasNoByteThatIsToBeEscaped(t *testing.T) {
	for sent, want := range map[string]string{
		"/\u00fc?\u00fc=\U0001F600":     "/%C3%BC?%C3%BC=%F0%9F%98%80",
		"/?a=\"c'<d>`e^|{}[]":           "/?a=%22c%27%3Cd%3E`e^|{}[]",
		"/?%zz=%c3%bc&a=%2F+x;y&&=/?:@": "/?%zz=%c3%bc&a=%2F+x;y&&=/?:@",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(ok))
			require.Equal(t, want, aHook(t, s.url+sent).oneSent(s, "event", aBody).RequestURI)
		})
	}
}

func TestAMessageIDTravelsAsTheGoldenFileSays(t *testing.T) {
	var g struct {
		WebhookIDs []struct {
			MessageID string `json:"message_id"`
			WebhookID string `json:"webhook_id"`
		} `json:"webhook_ids"`
	}
	golden(t, "signatures", &g)
	require.NotEmpty(t, g.WebhookIDs)
	for _, c := range g.WebhookIDs {
		name, err := json.Marshal(c.MessageID)
		require.NoError(t, err)
		t.Run(string(name[:min(len(name), 40)]), func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(ok))
			h := aHook(t, s.url)
			require.Equal(t, c.WebhookID, h.oneSent(s, c.MessageID, aBody).Header.Get("webhook-id"))
			require.Equal(t, c.MessageID, h.attempts()[0].MessageID)
			var header, messageID string
			shared.admin.mu.Lock()
			err := shared.admin.conn.QueryRow(t.Context(), "SELECT rule_webhook_id_header($1), rule_webhook_message_id($2)",
				c.MessageID, c.WebhookID).Scan(&header, &messageID)
			shared.admin.mu.Unlock()
			require.NoError(t, err)
			require.Equal(t, c.WebhookID, header)
			require.Equal(t, c.MessageID, messageID)
		})
	}
}

func TestOneMessageIDOfTwoWebhooksIsTwoDeliveries(t *testing.T) {
	t.Parallel()
	// It says that it closes the connection, which the second request could else meet on its way.
	s := serve(t, says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	one, other := aHook(t, s.url+"/one"), aHook(t, s.url+"/other")
	for _, h := range []hook{one, other} {
		h.publish("shared", aBody)
	}
	for _, h := range []hook{one, other} {
		require.Equal(t, "delivered", h.tries(1)[0].Outcome)
	}
	got := s.got()
	require.Len(t, got, 2)
	require.NotEqual(t, got[0].URL.Path, got[1].URL.Path)
	for _, r := range got {
		require.Equal(t, "shared", r.Header.Get("webhook-id"))
	}
}

func TestEachTryHasAnIDOfItsEventAndATimestampOfItsOwn(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c net.Conn, r request) bool {
		if r.Header.Get("webhook-id") != "event" {
			return says(ok)(c, r)
		}
		return says("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")(c, r)
	})
	h := aHook(t, s.url, "retry_delay_ms = 1300", "retry_backoff_multiplier = 1", "max_retries = 1", "give_up_after = '0'")
	secret := h.secret("signing", nil)
	h.signedBy(s, 1)
	before := len(s.got())
	h.publish("event", aBody)
	h.tries(before + 2)
	got := s.got()[before:]
	require.Len(t, got, 2)
	var stamps []int64
	for _, r := range got {
		require.Equal(t, "event", r.Header.Get("webhook-id"))
		stamp, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
		require.NoError(t, err)
		require.WithinDuration(t, r.at, time.Unix(stamp, 0), patience)
		stamps = append(stamps, stamp)
		h.verifies(secret, r)
	}
	require.Greater(t, stamps[1], stamps[0])
	require.NotEqual(t, got[0].Header.Get("webhook-signature"), got[1].Header.Get("webhook-signature"))
}
