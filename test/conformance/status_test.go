package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// state is what the database makes of a webhook's one event.
func (h hook) state() (state struct {
	Status   string
	Tries    int
	Refusals int
	Held     bool
}) {
	h.t.Helper()
	ask(h.t, &state, `SELECT jsonb_build_object('Status', q.status, 'Tries', q.retry_count, 'Refusals', q.refusals,
			'Held', w.held_since IS NOT NULL)
		FROM rule_webhook_queue q JOIN rule_webhooks w USING (webhook_id) WHERE q.webhook_id = $1`, h.id)
	return state
}

func statusLine(code int) string {
	return fmt.Sprintf("HTTP/1.1 %03d %s\r\nContent-Length: 0\r\n\r\n", code, http.StatusText(code))
}

func TestEachStatusIsWhatItsClassSays(t *testing.T) {
	for class, codes := range map[string][]int{
		"success": {200, 201, 202, 204, 205, 206, 226, 299},
		// Its request is refused, and would be again.
		"refusal": {300, 301, 302, 303, 304, 305, 307, 308, 399, 400, 401, 402, 403, 404, 405, 409, 411, 413, 415, 418, 422, 423, 431, 451, 499},
		"outage":  {408, 425, 429, 500, 501, 502, 503, 504, 505, 507, 511, 520, 599, 600, 700, 999},
		"gone":    {410},
	} {
		for _, code := range codes {
			t.Run(fmt.Sprint(class, code), func(t *testing.T) {
				t.Parallel()
				s := serve(t, says(statusLine(code)))
				h := aHook(t, s.url)
				got := h.once()
				require.NotNil(t, got.Status, got.error())
				require.Equal(t, code, *got.Status)
				state := h.state()
				require.Equal(t, 1, got.Try)
				switch class {
				case "success":
					require.Equal(t, "delivered", got.Outcome)
					require.Equal(t, "success", state.Status)
				case "refusal":
					require.Equal(t, "again", got.Outcome)
					require.Equal(t, 1, state.Refusals)
				case "outage":
					require.Equal(t, "again", got.Outcome)
					require.Zero(t, state.Refusals)
				}
				require.Equal(t, class == "gone", state.Held)
				require.Len(t, s.got(), 1)
			})
		}
	}
}

func TestTheLastRefusalMakesADeadLetter(t *testing.T) {
	t.Parallel()
	s := serve(t, says("HTTP/1.1 422 X\r\nContent-Length: 5\r\n\r\nno\x00\xff!"))
	h := aHook(t, s.url, "retry_delay_ms = 0", "max_retries = 2")
	h.publish("event", aBody)
	got := h.tries(3)
	require.Equal(t, []string{"again", "again", "dead"}, []string{got[0].Outcome, got[1].Outcome, got[2].Outcome})
	require.Equal(t, "failed", h.state().Status)
	require.Equal(t, "no\uFFFD\uFFFD!", *got[2].Answer)
	require.Len(t, s.got(), 3)
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	other := serve(t, says(ok))
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(fmt.Sprintf("HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", code, other.url)))
			require.Equal(t, code, *aHook(t, s.url).once().Status)
			require.Len(t, s.got(), 1)
			require.Zero(t, other.connections.Load())
		})
	}
}

func TestInformationIsPassedOver(t *testing.T) {
	for name, before := range map[string]string{
		"100":                "HTTP/1.1 100 Continue\r\n\r\n",
		"100 twice":          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\nX: y\r\n\r\n",
		"102":                "HTTP/1.1 102 Processing\r\n\r\n",
		"103":                "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n",
		"199, known to none": "HTTP/1.1 199 X\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(before+"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"))
			got := aHook(t, s.url).once()
			require.Equal(t, "delivered", got.Outcome, got.error())
			require.Equal(t, 201, *got.Status)
			require.Len(t, s.got(), 1)
		})
	}
}

func TestAnAnswerThatSwitchesProtocolsIsNoSuccessAndEndsTheConnection(t *testing.T) {
	for name, head := range map[string]string{
		"upgrade":   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		"no header": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			s := serve(t, closing(ended, hangs(head)))
			got := aHook(t, s.url).once()
			require.NotNil(t, got.Status, got.error())
			require.Equal(t, 101, *got.Status)
			require.Equal(t, "again", got.Outcome)
			await(t, ended)
			require.Len(t, s.got(), 1)
		})
	}
}

func TestWhatIsNoStatusLineIsAFailure(t *testing.T) {
	for name, text := range map[string]string{
		"0":            "HTTP/1.1 0 X\r\nContent-Length: 0\r\n\r\n",
		"000":          "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n",
		"099":          "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
		"1000":         "HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n",
		"-200":         "HTTP/1.1 -200 X\r\nContent-Length: 0\r\n\r\n",
		"letters":      "HTTP/1.1 two X\r\nContent-Length: 0\r\n\r\n",
		"no version":   "200 OK\r\n\r\n",
		"garbage":      "\x00\xff\x16\x03\x01garbage\r\n\r\n",
		"mail":         "220 mail.example ESMTP\r\n",
		"empty":        "",
		"only a break": "\r\n\r\n\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := says(text)
			if strings.HasPrefix(text, "HTTP/") {
				answer = hangs(text) // nothing but what it says ends the try
			}
			s := serve(t, answer)
			got := aHook(t, s.url, aLongTimeout).once()
			require.Nil(t, got.Status)
			require.Equal(t, "again", got.Outcome)
			require.NotEmpty(t, got.error())
			require.Less(t, got.Duration, soon, got.error())
			require.Len(t, s.got(), 1)
		})
	}
}
