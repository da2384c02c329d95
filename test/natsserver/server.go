package natsserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"rule_engine/test/port"
	"rule_engine/test/scratch"
)

const patience = time.Minute

var errNotReady = errors.New("nats-server is not ready for connections")

// A Server is an embedded one. Its ends are graceful; see Process for the others.
type Server struct {
	Port  int
	Store string

	port    *port.Port
	dir     *scratch.Dir
	change  []func(*server.Options)
	running *server.Server
}

// Start starts a server; the functions may change its options first.
func Start(change ...func(*server.Options)) (*Server, error) {
	dir, own, err := place()
	if err != nil {
		return nil, err
	}
	s := &Server{Port: own.Number, Store: dir.Path, port: own, dir: dir, change: change}
	if err := s.StartAgain(); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// StartAgain starts a stopped server: the same port, the same store.
func (s *Server) StartAgain() error {
	opts := standing(s.Port, s.Store)
	for _, change := range s.change {
		change(opts)
	}
	running, err := listening(opts)
	if err != nil {
		return err
	}
	if !running.ReadyForConnections(patience) {
		running.Shutdown()
		return errNotReady
	}
	s.running = running
	return nil
}

// listening starts a server. A process that was forked a moment ago has the socket of the one before until it becomes
// another program.
func listening(opts *server.Options) (*server.Server, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		running, err := server.NewServer(opts)
		if err != nil {
			return nil, err
		}
		running.Start()
		if running.Addr() != nil || time.Now().After(deadline) {
			return running, nil
		}
		running.Shutdown()
		running.WaitForShutdown()
	}
}

// place is what a server has to itself.
func place() (*scratch.Dir, *port.Port, error) {
	own, err := port.Take()
	if err != nil {
		return nil, nil, err
	}
	dir, err := scratch.Make("nats")
	if err != nil {
		own.Free()
		return nil, nil, err
	}
	return dir, own, nil
}

// standing are the options of every server.
func standing(port int, store string) *server.Options {
	return &server.Options{
		ServerName: "test",
		Host:       "127.0.0.1",
		Port:       port,
		JetStream:  true,
		StoreDir:   store,
		NoLog:      true,
		NoSigs:     true,
		// A client that stood still meanwhile is no stranger.
		AuthTimeout: patience.Seconds(),
	}
}

// URL is the address for clients.
func (s *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.Port) }

// Stop shuts the server down; what it stored stays.
func (s *Server) Stop() {
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

// Remove stops the server and removes its store.
func (s *Server) Remove() error {
	s.Stop()
	defer s.port.Free()
	return s.dir.Remove()
}
