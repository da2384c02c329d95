package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNoMoreIsAskedForThanCanBeHeld(t *testing.T) {
	var l load
	n, err := l.room(t.Context(), 1<<20)
	require.NoError(t, err)
	require.Equal(t, mostFetch>>20, n)

	l.add(mostLoad - 3<<20)
	n, err = l.room(t.Context(), 1<<20)
	require.NoError(t, err)
	require.Equal(t, 3, n)

	l.add(3 << 20)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = l.room(short, 1<<20)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, l.wait(short), context.DeadlineExceeded)

	// A server may take messages larger than a request should bring.
	l.remove(mostLoad / 2)
	inTime, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	n, err = l.room(inTime, mostLoad/2)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	l.add(mostLoad / 2)

	time.AfterFunc(20*time.Millisecond, func() { l.remove(mostLoad) })
	require.NoError(t, l.wait(t.Context()))
	n, err = l.room(t.Context(), 2*mostLoad)
	require.NoError(t, err)
	require.Equal(t, 1, n, "an event of any size must have its turn")
}
