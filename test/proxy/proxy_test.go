package proxy

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo is a server that answers what it hears.
func echo(t *testing.T) string {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listen.Close() })
	go func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	return listen.Addr().String()
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const patience = 30 * time.Second

func say(t *testing.T, conn net.Conn, text string) (string, error) {
	t.Helper()
	return sayAndWait(t, conn, text, patience)
}

// unanswered says what is lost on its way.
func unanswered(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := sayAndWait(t, conn, text, 200*time.Millisecond)
	var network net.Error
	require.ErrorAs(t, err, &network)
	require.True(t, network.Timeout())
}

func sayAndWait(t *testing.T, conn net.Conn, text string, in time.Duration) (string, error) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(in)))
	heard := make([]byte, 100)
	n, err := conn.Read(heard)
	return string(heard[:n]), err
}

func TestALineDoesWhatIsAskedOfIt(t *testing.T) {
	p := Run(t, "nats://"+echo(t))
	conn := dial(t, p)
	heard, err := say(t, conn, "one")
	require.NoError(t, err)
	require.Equal(t, "one", heard)

	p.Delay(30 * time.Millisecond)
	began := time.Now()
	_, err = say(t, conn, "late")
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), 60*time.Millisecond, "both ways")
	p.Heal()

	dropped := make(chan bool, 1)
	p.Judge(func(fromServer bool, piece []byte) Fate {
		if fromServer && bytes.Contains(piece, []byte("lost")) {
			dropped <- true
			return Drop
		}
		return Pass
	})
	unanswered(t, conn, "lost")
	<-dropped
	heard, err = say(t, conn, "kept")
	require.NoError(t, err)
	require.Equal(t, "kept", heard)

	p.Judge(func(bool, []byte) Fate { return Reset })
	_, err = say(t, conn, "reset")
	require.ErrorContains(t, err, "reset")

	p.Greet("nonsense\n")
	heard, err = say(t, dial(t, p), "hello")
	require.NoError(t, err)
	require.Equal(t, "nonsense\n", heard)

	p.Heal()
	conn = dial(t, p)
	p.BlackHole()
	unanswered(t, conn, "anybody?")
	p.Heal()
	require.Eventually(t, func() bool { return p.Accepted() == 3 }, patience, time.Millisecond)
	p.Cut()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorContains(t, err, "reset")
}
