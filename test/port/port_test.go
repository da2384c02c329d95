package port

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPortIsNobodyElsesUntilItIsFreed(t *testing.T) {
	taken := map[int]bool{}
	for range 100 {
		p, err := Take()
		require.NoError(t, err)
		t.Cleanup(p.Free)
		require.False(t, taken[p.Number])
		taken[p.Number] = true
		listen, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.Number))
		require.NoError(t, err)
		require.NoError(t, listen.Close())
	}
	for range 100 {
		listen, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listen.Close() })
		require.Greater(t, listen.Addr().(*net.TCPAddr).Port, highest, "the kernel chooses others")
	}
}
