package natsserver

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Run starts an embedded server for the length of a test.
func Run(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	s, err := Start(change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// RunProcess starts a server process for the length of a test.
func RunProcess(t testing.TB) *Process { return runProcess(t, current) }

// RunOldest is RunProcess for the oldest version that the product works with.
func RunOldest(t testing.TB) *Process { return runProcess(t, oldest) }

func runProcess(t testing.TB, program string) *Process {
	t.Helper()
	p, err := startProcess(program, Member{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Remove(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Connect gives a client for the length of a test.
func Connect(t testing.TB, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

// Connections are those that the server has now.
func (s *Server) Connections(t testing.TB) []*server.ConnInfo {
	t.Helper()
	return s.connections(t, server.ConnOpen)
}

// Ended are those that have ended.
func (s *Server) Ended(t testing.TB) []*server.ConnInfo {
	t.Helper()
	return s.connections(t, server.ConnClosed)
}

func (s *Server) connections(t testing.TB, state server.ConnState) []*server.ConnInfo {
	t.Helper()
	seen, err := s.running.Connz(&server.ConnzOptions{Username: true, State: state})
	if err != nil {
		t.Fatal(err)
	}
	return seen.Conns
}

// WebsocketURL is the address for clients by WebSocket, of a server that has them.
func (s *Server) WebsocketURL() string { return s.running.WebsocketURL() }
