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

func say(t *testing.T, conn net.Conn, text string) (string, error) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
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

	p.Judge(func(fromServer bool, piece []byte) Fate {
		if fromServer && bytes.Contains(piece, []byte("lost")) {
			return Drop
		}
		return Pass
	})
	_, err = say(t, conn, "lost")
	require.Error(t, err)
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
	_, err = say(t, conn, "anybody?")
	var network net.Error
	require.ErrorAs(t, err, &network)
	require.True(t, network.Timeout())
	p.Heal()
	p.Cut()
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.Equal(t, 3, p.Accepted())
}
