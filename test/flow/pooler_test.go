package flow

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a session says through a pooler would stay with a session that serves somebody else.
func TestAWorkerBehindAPoolerPollsAndSaysSo(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	w := b.queueWorker(t, "DATABASE_URL="+b.databaseAt(pooler(t, fmt.Sprintf("127.0.0.1:%d", b.Postgres.Port))))
	publish(t, b.application, id, "event")
	b.arrived(t, "event")
	require.Eventually(t, func() bool {
		return strings.Contains(w.Log(), "nobody wakes this worker, it polls: there is a pooler")
	}, patience, 20*time.Millisecond)
	b.idle(t, 0)
}

// pooler relays sessions to Postgres and, as poolers do, gives each a process id of its own.
func pooler(t *testing.T, to string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { relay(client, server); _ = client.Close() }()
		}
	}()
	return listener.Addr().String()
}

// relay passes on what the server says, with another process id.
func relay(client io.Writer, server io.Reader) {
	// Each message is a letter, the length of the rest, and the rest.
	const header, backendKeyData = 5, 'K'
	for {
		message := make([]byte, header)
		if _, err := io.ReadFull(server, message); err != nil {
			return
		}
		message = append(message, make([]byte, binary.BigEndian.Uint32(message[1:])-4)...)
		if _, err := io.ReadFull(server, message[header:]); err != nil {
			return
		}
		if message[0] == backendKeyData {
			message[header]++
		}
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}
