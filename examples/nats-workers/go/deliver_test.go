package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var loopback = guard{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func to(url string, change ...func(*endpointRow)) *endpoint {
	row := endpointRow{webhookID: 7, name: "orders", url: url, method: "POST", headers: "{}", timeoutMS: 5000}
	for _, c := range change {
		c(&row)
	}
	return newEndpoint(row)
}

func within(ms int64) func(*endpointRow) { return func(r *endpointRow) { r.timeoutMS = ms } }

func anEvent() *event {
	return &event{webhookID: 7, messageID: "order-1", try: 1, body: []byte(`{"n": 9223372036854775808}`)}
}

func try(t *testing.T, s *sender, ep *endpoint) outcome {
	t.Helper()
	return s.try(t.Context(), ep, anEvent())
}

// tcpServer hands each connection to serve.
func tcpServer(t *testing.T, serve func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func readRequest(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return err == nil
}

func TestARequestCarriesThePayloadByteForByteAndItsSignature(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	ep := to(server.URL+"/hook?x=1", func(r *endpointRow) {
		r.method = "PUT"
		r.headers = `{"X-Team": "shop", "X-Number": 12, "webhook-id": "forged", "Content-Length": "1", "Host": "hooks.example"}`
		r.secrets = []string{"whsec_aHVudGVyMg=="}
	})
	e := anEvent()
	e.trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

	o := newSender(1, loopback).try(t.Context(), ep, e)

	require.Equal(t, "answered", o.result, o.err)
	require.Equal(t, 200, o.status)
	require.Equal(t, e.body, body)
	require.Equal(t, "PUT", got.Method)
	require.Equal(t, "/hook?x=1", got.RequestURI)
	require.Equal(t, "hooks.example", got.Host)
	require.Equal(t, []string{"order-1"}, got.Header["Webhook-Id"])
	require.Equal(t, "shop", got.Header.Get("X-Team"))
	require.Equal(t, "12", got.Header.Get("X-Number"))
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, e.trace, got.Header.Get("Traceparent"))
	require.Empty(t, got.Header.Get("Accept-Encoding"))
	mac := hmac.New(sha256.New, []byte("hunter2"))
	fmt.Fprintf(mac, "order-1.%s.%s", got.Header.Get("Webhook-Timestamp"), body)
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), got.Header.Get("Webhook-Signature"))
}

func TestUserInfoOfAURLTravelsAsBasicAuthAndNotInTheRequestLine(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	defer server.Close()

	o := try(t, newSender(1, loopback), to(strings.Replace(server.URL, "http://", "http://u:p@", 1)))

	require.Equal(t, "answered", o.result, o.err)
	user, pass, ok := got.BasicAuth()
	require.True(t, ok)
	require.Equal(t, "u:p", user+":"+pass)
}

func TestARedirectIsAnAnswerAndNotFollowed(t *testing.T) {
	var followed atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			followed.Add(1)
			return
		}
		http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
	}))
	defer server.Close()

	o := try(t, newSender(1, loopback), to(server.URL))

	require.Equal(t, "answered", o.result)
	require.Equal(t, 307, o.status)
	require.Zero(t, followed.Load())
}

func TestAFailureKeepsABoundedPieceOfItsAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		io.WriteString(w, "broken\x00\xff"+strings.Repeat("x", 5000))
	}))
	defer server.Close()

	o := try(t, newSender(1, loopback), to(server.URL))

	require.Equal(t, "answered", o.result)
	require.Equal(t, 500, o.status)
	require.True(t, strings.HasPrefix(o.answer, "broken\uFFFD\uFFFDxxx"), o.answer[:20])
	require.LessOrEqual(t, len(o.answer), keptOfAnswer+8)
}

func TestOneDeadlineSpansASlowHeaderAndASlowBody(t *testing.T) {
	drip := func(head string) string {
		return tcpServer(t, func(c net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(c, head)
			for {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for name, url := range map[string]string{
		"one byte of header at a time": drip("HTTP/1.1 200 OK\r\nX: "),
		"one byte of body at a time":   drip("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
		"nothing at all":               tcpServer(t, func(c net.Conn, r *bufio.Reader) { readRequest(r); io.Copy(io.Discard, c) }),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			o := try(t, newSender(1, loopback), to(url, within(200)))
			require.Equal(t, "failed", o.result)
			require.Equal(t, "no whole answer within 200 ms", o.err)
			require.Less(t, time.Since(start), 2*time.Second)
		})
	}
}

func TestAnEndlessBodyAfterSuccessIsReadToItsBoundOnly(t *testing.T) {
	written := make(chan int64, 1)
	url := tcpServer(t, func(c net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		n, _ := io.Copy(c, endless{})
		written <- n
	})

	o := try(t, newSender(1, loopback), to(url))

	require.Equal(t, "answered", o.result, o.err)
	require.Equal(t, 200, o.status)
	require.Less(t, o.duration, 2*time.Second)
	select {
	case n := <-written:
		require.Less(t, n, int64(64<<20)) // what fits into the sockets' buffers
	case <-time.After(5 * time.Second):
		t.Fatal("the connection was not ended")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAHugeHeaderIsAFailure(t *testing.T) {
	url := tcpServer(t, func(c net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for range 1000 {
			io.WriteString(c, "X-Pad: "+strings.Repeat("x", 1000)+"\r\n")
		}
		io.WriteString(c, "\r\n")
	})
	o := try(t, newSender(1, loopback), to(url))
	require.Equal(t, "failed", o.result)
}

func TestAnAnswerThatBreaksOffIsAFailure(t *testing.T) {
	url := tcpServer(t, func(c net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	})
	o := try(t, newSender(1, loopback), to(url))
	require.Equal(t, "failed", o.result)
	require.Contains(t, o.err, "broke off")
}

// With GetBody set, or through http.Client, net/http repeats the second of
// these requests by itself: the server then sees three.
func TestARequestOnAKeptConnectionThatBreaksIsNotRepeated(t *testing.T) {
	for _, method := range []string{"POST", "GET"} {
		t.Run(method, func(t *testing.T) {
			var requests atomic.Int32
			url := tcpServer(t, func(c net.Conn, r *bufio.Reader) {
				for {
					if !readRequest(r) {
						return
					}
					if requests.Add(1) == 2 {
						return // as the request arrives, unanswered
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			ep := to(url, func(r *endpointRow) { r.method, r.headers = method, `{"Idempotency-Key": "k"}` })
			s := newSender(1, loopback)
			require.Equal(t, "answered", try(t, s, ep).result)

			o := try(t, s, ep)

			require.Equal(t, "failed", o.result)
			require.EqualValues(t, 2, requests.Load())
		})
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok")
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	s := newSender(1, loopback)
	for range 10 {
		require.Equal(t, "answered", try(t, s, to(server.URL)).result)
	}
	require.EqualValues(t, 1, connections.Load())
}

func TestAnAddressInsideIsNeverDialled(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { connections.Add(1) }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	t.Setenv("HTTP_PROXY", server.URL)
	for _, host := range []string{"127.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1", "0177.0.0.1"} {
		o := try(t, newSender(1, guard{}), to("http://"+host+":"+port, within(2000)))
		require.Equal(t, "failed", o.result, host)
	}
	require.Zero(t, connections.Load())
}

func TestWhatCannotBecomeARequestFailsWithoutShowingItsURL(t *testing.T) {
	for name, row := range map[string]endpointRow{
		"scheme":  {url: "ftp://h/hunter2", method: "POST"},
		"no host": {url: "http:///hunter2", method: "POST"},
		"escape":  {url: "http://h/%zzhunter2", method: "POST"},
		"port 0":  {url: "http://h:0/hunter2", method: "POST"},
		"method":  {url: "http://h/hunter2", method: "PO ST"},
		"headers": {url: "http://h/hunter2", method: "POST", headers: `{"a": {"b": 1}}`},
		"secret":  {url: "http://h/hunter2", method: "POST", secrets: []string{"hunter2"}},
		"header name": {url: "http://127.0.0.1:1/hunter2", method: "POST",
			headers: `{"a b": "hunter2"}`},
		"header value": {url: "http://127.0.0.1:1/hunter2", method: "POST",
			headers: `{"a": "hunter2\nb: c"}`},
		"connect": {url: "http://127.0.0.1:1/hunter2", method: "POST"},
	} {
		t.Run(name, func(t *testing.T) {
			row.timeoutMS = 1000
			o := try(t, newSender(1, loopback), newEndpoint(row))
			require.Equal(t, "failed", o.result)
			require.NotEmpty(t, o.err)
			require.NotContains(t, o.err, "hunter2")
		})
	}
}

func TestTheEndOfTheProcessGivesATryBack(t *testing.T) {
	url := tcpServer(t, func(c net.Conn, r *bufio.Reader) { readRequest(r); io.Copy(io.Discard, c) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Equal(t, "released", newSender(1, loopback).try(ctx, to(url), anEvent()).result)
}

func TestAnAnswerThatSwitchesProtocolsIsAnAnswerAndEndsTheConnection(t *testing.T) {
	for name, head := range map[string]string{
		"upgrade":   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		"no header": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			url := tcpServer(t, func(c net.Conn, r *bufio.Reader) {
				defer close(ended)
				readRequest(r)
				io.WriteString(c, head)
				io.Copy(io.Discard, c)
			})
			done := make(chan outcome, 1)
			go func() { done <- newSender(1, loopback).try(t.Context(), to(url, within(200)), anEvent()) }()
			select {
			case o := <-done:
				require.Equal(t, "answered", o.result, o.err)
				require.Equal(t, 101, o.status)
			case <-time.After(5 * time.Second):
				t.Fatal("the try goes on after its time")
			}
			select {
			case <-ended:
			case <-time.After(5 * time.Second):
				t.Fatal("the connection was not ended")
			}
		})
	}
}

func TestANumberThatIsNoStatusIsAFailure(t *testing.T) {
	for _, status := range []string{"099", "000"} {
		url := tcpServer(t, func(c net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(c, "HTTP/1.1 "+status+" X\r\nContent-Length: 0\r\n\r\n")
		})
		o := try(t, newSender(1, loopback), to(url))
		require.Equal(t, "failed", o.result)
		require.Zero(t, o.status)
		require.Contains(t, o.err, status)
	}
}
