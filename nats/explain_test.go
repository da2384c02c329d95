package nats

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatAServerSaysCanStandInAResult(t *testing.T) {
	said := explain(errors.New("nats: expected 'PONG', got '\x00\xff\n'"))
	require.Equal(t, "expected 'PONG', got '???'", said)
	require.Len(t, explain(errors.New(strings.Repeat("x", 10000))), shown+len("..."))
}
