package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLastWordsOfAProcessThatWasKilledMakeNoNamesake(t *testing.T) {
	var n namesake
	require.False(t, n.look(losses{NowMS: 1}))
	require.False(t, n.look(losses{NowMS: 2, Namesake: true}))
	require.False(t, n.look(losses{NowMS: 3}))
	require.False(t, n.look(losses{NowMS: 4, Namesake: true}))
	require.False(t, n.lives.Load())
	require.True(t, n.look(losses{NowMS: 5, Namesake: true}))
	require.Equal(t, int64(5), n.heard)

	require.False(t, n.look(losses{NowMS: 6}))
	require.True(t, n.lives.Load(), "it may still have something in hand")
}
