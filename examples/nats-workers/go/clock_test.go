package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAClockThatIsNotPostgresIsSaidOnceUntilItIsAgain(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	var c clockWatch
	c.look(0, 0)
	c.look(59*time.Second, time.Hour)
	require.Empty(t, out.String())

	c.look(-10*time.Minute-time.Millisecond, 400*time.Millisecond)
	c.look(-11*time.Minute, 0)
	said := out.String()
	require.Equal(t, 1, strings.Count(said, "\n"), said)
	require.Contains(t, said, "level=WARN")
	require.Contains(t, said, "seconds_ahead_of_postgres=-600 seconds_ahead_of_nats=0\n")

	c.look(time.Second, 0)
	c.look(time.Second, 0)
	require.Equal(t, 1, strings.Count(out.String(), "again"))
	c.look(2*time.Minute, 0)
	require.True(t, strings.HasSuffix(out.String(), "seconds_ahead_of_postgres=120\n"), out.String())
}
