package main

import (
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// answering is a server that says this to what it is asked first, and closes.
func answering(t *testing.T, answer string) (port int) {
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
			_, _ = client.Read(make([]byte, 1024))
			_, _ = client.Write([]byte(answer))
			_ = client.Close()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestNoTLSIsARefusalOnlyWhereItIsAskedForAndNoOtherServerIsAway(t *testing.T) {
	plain := answering(t, "N")
	const away = 1
	refusal := func(mode string, ports ...int) error {
		url := fmt.Sprintf("host=127.0.0.1 port=%d", ports[0])
		if len(ports) > 1 {
			url = fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d", ports[0], ports[1])
		}
		_, err := pgx.Connect(t.Context(), url+" connect_timeout=60 user=u dbname=d sslmode="+mode)
		require.Error(t, err)
		return (&config{}).refusal(err)
	}
	require.ErrorContains(t, refusal("require", plain), "DATABASE_URL: asks for TLS")
	require.ErrorContains(t, refusal("require", plain, plain), "DATABASE_URL: asks for TLS")
	require.NoError(t, refusal("prefer", plain))
	require.NoError(t, refusal("allow", plain))
	require.NoError(t, refusal("require", plain, away))
	require.NoError(t, refusal("require", away))
}

func TestAnErrorOfTheServerWithoutASQLSTATEProvesNothing(t *testing.T) {
	message := "SFATAL\x00Mtoo many clients\x00\x00"
	port := answering(t, "E\x00\x00\x00"+string(rune(len(message)+4))+message)
	_, err := pgx.Connect(t.Context(), fmt.Sprintf("host=127.0.0.1 port=%d connect_timeout=60 user=u dbname=d sslmode=disable", port))
	require.ErrorContains(t, err, "too many clients")
	require.NoError(t, (&config{}).refusal(err))
	require.False(t, atFault(err))
}
