package conformance

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// It may be what it was sent.
func TestWhatAnEndpointSendsWhenNobodyAsksIsNotInTheLog(t *testing.T) {
	t.Parallel()
	const secret = "what-was-sent"
	asked := make(chan net.Conn, 1)
	s := serve(t, func(c net.Conn, _ request) bool {
		_, err := io.WriteString(c, ok)
		asked <- c
		return err == nil
	})
	require.Equal(t, "delivered", aHook(t, s.url).once().Outcome)
	c := <-asked
	_, err := io.WriteString(c, secret+"\r\n\r\n")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, c) // until the worker ends it
	require.NotContains(t, shared.worker.Log(), secret)
}
