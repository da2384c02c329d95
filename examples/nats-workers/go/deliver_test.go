package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var loopback = guard{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func to(url string, change ...func(*endpointRow)) *endpoint {
	row := endpointRow{webhookID: 7, name: "orders", url: url, method: "POST", headers: "{}", timeoutMS: 60000}
	for _, c := range change {
		c(&row)
	}
	return newEndpoint(row)
}

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

// SQL refuses what is forged here; a worker does not count on it.
func TestAWebhooksHeadersForgeNoRequest(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	defer server.Close()
	ep := to(server.URL, func(r *endpointRow) {
		r.headers = `{"X-Number": 12, "webhook-id": "forged", "Content-Length": "1", "Host": "hooks.example"}`
	})

	o := newSender(1, loopback, nil).try(t.Context(), ep, anEvent())

	require.Equal(t, "answered", o.result, o.err)
	require.Equal(t, 200, o.status)
	require.Equal(t, "hooks.example", got.Host)
	require.EqualValues(t, len(anEvent().body), got.ContentLength)
	require.Equal(t, []string{"order-1"}, got.Header["Webhook-Id"])
	require.Equal(t, "12", got.Header.Get("X-Number"))
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
			row.timeoutMS = 60000
			o := try(t, newSender(1, loopback, nil), newEndpoint(row))
			require.Equal(t, "failed", o.result)
			require.NotEmpty(t, o.err)
			require.NotContains(t, o.err, "hunter2")
		})
	}
}

func TestAProxyThatIsAwayIsNamed(t *testing.T) {
	o := try(t, newSender(1, guard{}, &proxy{address: "localhost:1"}), to("http://endpoint.example/hunter2"))
	require.Equal(t, "failed", o.result)
	require.Contains(t, o.err, "the proxy: dial tcp")
	require.NotContains(t, o.err, "hunter2")
}

func TestOfAnEndpointThatTheProxyLooksUpThePortIsChecked(t *testing.T) {
	for _, port := range []string{"00", "65536"} {
		o := try(t, newSender(1, guard{}, &proxy{address: "localhost:1"}), to("http://endpoint.example:"+port))
		require.Equal(t, "port "+port+" is no port", o.err)
	}
}

func TestTheEndOfTheProcessGivesATryBack(t *testing.T) {
	url := tcpServer(t, func(c net.Conn, r *bufio.Reader) { readRequest(r); io.Copy(io.Discard, c) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Equal(t, "released", newSender(1, loopback, nil).try(ctx, to(url), anEvent()).result)
}
