package conformance

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server is an endpoint whose answers are bytes, right or wrong.
type server struct {
	url         string
	connections atomic.Int32

	mu       sync.Mutex
	requests []request
}

type request struct {
	*http.Request
	body []byte
	at   time.Time
}

// An answerer writes an answer; the connection is kept for another request when it says so.
type answerer func(c net.Conn, r request) (keep bool)

// says answers with a text and ends the connection.
func says(text string) answerer {
	return func(c net.Conn, _ request) bool {
		_, _ = io.WriteString(c, text)
		return false
	}
}

// hangs answers with a text and then nothing.
func hangs(text string) answerer {
	return func(c net.Conn, _ request) bool {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
		return false
	}
}

// keeps is says, and takes further requests on the connection.
func keeps(text string) answerer {
	return func(c net.Conn, _ request) bool {
		_, err := io.WriteString(c, text)
		return err == nil
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// serve answers on 127.0.0.1.
func serve(t *testing.T, answer answerer) *server {
	t.Helper()
	return serveOn(t, "127.0.0.1:0", answer)
}

func serveOn(t *testing.T, address string, answer answerer) *server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	s := &server{url: "http://" + l.Addr().String()}
	s.run(t.Cleanup, l, answer)
	return s
}

func serveTLS(t *testing.T, config *tls.Config, answer answerer) *server {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	s := &server{url: "https://" + l.Addr().String()}
	s.run(t.Cleanup, l, answer)
	return s
}

func (s *server) run(atEnd func(func()), l net.Listener, answer answerer) {
	var open sync.Map
	atEnd(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			open.Store(c, nil)
			go func() {
				defer c.Close()
				s.talk(c, answer)
			}()
		}
	}()
}

func (s *server) talk(c net.Conn, answer answerer) {
	for in := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got := request{r, body, time.Now()}
		s.mu.Lock()
		s.requests = append(s.requests, got)
		s.mu.Unlock()
		if !answer(c, got) {
			return
		}
	}
}

// got are the requests so far.
func (s *server) got() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// port is where it listens.
func (s *server) port() string { return s.url[strings.LastIndex(s.url, ":")+1:] }

// An inside is a server that no worker may reach: a connection is a failure of all of them.
type inside struct {
	addr     string
	listener net.Listener
	reached  atomic.Int32
}

func openInside() (*inside, error) {
	l, err := net.Listen("tcp", "127.1.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &inside{addr: l.Addr().String(), listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			i.reached.Add(1)
			c.Close()
		}
	}()
	return i, nil
}

func (i *inside) close() { i.listener.Close() }

func (i *inside) port() string { return i.addr[strings.LastIndex(i.addr, ":")+1:] }

// closing tells when the client has ended the connection that an answer was written to.
func closing(ended chan<- struct{}, answer answerer) answerer {
	var once sync.Once
	return func(c net.Conn, r request) bool {
		keep := answer(c, r)
		once.Do(func() { close(ended) })
		return keep
	}
}

func await(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "it has not ended")
	}
}
