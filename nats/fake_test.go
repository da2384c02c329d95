package nats

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// fake speaks as much of NATS as a publish with an ack needs, so that these tests need no server.
type fake struct {
	listen net.Listener
	// mute keeps it from answering.
	mute atomic.Bool
	// quiet keeps its stream from answering, leaderless says that when it is asked.
	quiet, leaderless atomic.Bool
	// asked counts how often it was, tried the connections there were.
	asked, tried atomic.Int64
	seq          atomic.Int64
	// open counts the connections there are.
	open atomic.Int64

	mu    sync.Mutex
	lines []net.Conn
}

func newFake(t *testing.T) *fake {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fake{listen: listen}
	go func() {
		for {
			line, err := listen.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.lines = append(f.lines, line)
			f.mu.Unlock()
			go f.serve(line)
		}
	}()
	t.Cleanup(func() {
		_ = listen.Close()
		f.cut()
	})
	return f
}

// cut ends all connections.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.lines {
		_ = line.Close()
	}
	f.lines = nil
}

func (f *fake) serve(line net.Conn) {
	f.open.Add(1)
	f.tried.Add(1)
	defer f.open.Add(-1)
	if f.mute.Load() {
		return
	}
	say := func(format string, args ...any) {
		if !f.mute.Load() {
			_, _ = fmt.Fprintf(line, format, args...)
		}
	}
	say("INFO {\"server_id\":\"f\",\"version\":\"2.10.0\",\"headers\":true,\"max_payload\":1000}\r\n")
	from := bufio.NewReader(line)
	inboxes := map[string]string{}
	sid := func(subject string) string {
		for pattern, sid := range inboxes {
			if matches(pattern, subject) {
				return sid
			}
		}
		return "1"
	}
	for {
		said, err := from.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(said)
		switch words[0] {
		case "PING":
			say("PONG\r\n")
		case "SUB":
			inboxes[words[1]] = words[len(words)-1]
		case "PUB":
			var size int
			_, _ = fmt.Sscan(words[len(words)-1], &size)
			_, _ = io.CopyN(io.Discard, from, int64(size)+2)
			if words[1] != "$JS.API.STREAM.INFO.S" {
				continue
			}
			f.asked.Add(1)
			info := `{"type":"io.nats.jetstream.api.v1.stream_info_response","config":{"name":"S"},"cluster":{"leader":"f","replicas":[{"name":"g"},{"name":"h"}]}}`
			if f.leaderless.Load() {
				info = `{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`
			}
			say("MSG %s %s %d\r\n%s\r\n", words[2], sid(words[2]), len(info), info)
		case "HPUB":
			var size int
			_, _ = fmt.Sscan(words[len(words)-1], &size)
			_, _ = io.CopyN(io.Discard, from, int64(size)+2)
			if f.quiet.Load() {
				continue
			}
			ack := fmt.Sprintf(`{"stream":"S","seq":%d}`, f.seq.Add(1))
			say("MSG %s %s %d\r\n%s\r\n", words[2], sid(words[2]), len(ack), ack)
		}
	}
}
