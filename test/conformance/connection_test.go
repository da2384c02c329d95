package conformance

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/port"
)

func TestARefusedConnectionIsAFailure(t *testing.T) {
	t.Parallel()
	nobody := port.Run(t).Addr()
	got := aHook(t, "http://"+nobody+"/hunter2").once()
	require.Nil(t, got.Status)
	require.Equal(t, "again", got.Outcome)
	require.Contains(t, got.error(), nobody)
	require.NotContains(t, got.error(), "hunter2")
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	s := serve(t, keeps(ok))
	h := aHook(t, s.url)
	for n := range 5 {
		h.publish(string(rune('a'+n)), aBody)
		h.tries(n + 1)
	}
	require.Len(t, s.got(), 5)
	require.EqualValues(t, 1, s.connections.Load())
}

// HTTP clients like to repeat a request when a kept connection ends before the answer.
func TestARequestOnAKeptConnectionThatEndsIsNotRepeated(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "GET", "DELETE"} {
		for how, end := range map[string]func(net.Conn){
			"closed": func(net.Conn) {},
			"reset":  func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
		} {
			t.Run(method+", "+how, func(t *testing.T) {
				t.Parallel()
				var requests atomic.Int32
				s := serve(t, func(c net.Conn, _ request) bool {
					if requests.Add(1) == 2 {
						end(c)
						return false
					}
					_, err := io.WriteString(c, ok)
					return err == nil
				})
				h := aHook(t, s.url, "http_method = '"+method+"'", `headers = '{"Idempotency-Key": "k"}'`)
				h.publish("first", aBody)
				require.Equal(t, "delivered", h.tries(1)[0].Outcome)
				h.publish("second", aBody)
				got := h.tries(2)[1]
				require.Equal(t, "again", got.Outcome)
				require.NotEmpty(t, got.error())
				require.Len(t, s.got(), 2)
				if method == "POST" || method == "PUT" { // whose connections every client keeps
					require.EqualValues(t, 1, s.connections.Load())
				}
			})
		}
	}
}

func TestAnEndpointThatEndsTheConnectionGetsTheNextRequestOnAnother(t *testing.T) {
	t.Parallel()
	s := serve(t, says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	h := aHook(t, s.url)
	h.publish("first", aBody)
	h.tries(1)
	h.publish("second", aBody)
	require.Equal(t, "delivered", h.tries(2)[1].Outcome)
	require.Len(t, s.got(), 2)
}

// An answer that nobody asked for must not be taken for that of the next request.
func TestAnAnswerTooManyIsNotTheNextRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c net.Conn, r request) bool {
		if r.Header.Get("webhook-id") == "first" {
			_, err := io.WriteString(c, ok+ok)
			return err == nil
		}
		_, _ = io.WriteString(c, "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
		return false
	})
	h := aHook(t, s.url)
	h.publish("first", aBody)
	h.tries(1)
	h.publish("second", aBody)
	require.Equal(t, "again", h.tries(2)[1].Outcome)
}
