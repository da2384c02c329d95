package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALogIsTextOrJSONFromItsLevelOn(t *testing.T) {
	logged := func(pairs ...string) string {
		cfg, err := readConfig(environment(pairs...))
		require.NoError(t, err)
		var out bytes.Buffer
		log := newLogger(cfg, &out)
		log.Debug("fine")
		log.Info("usual", "n", 1)
		log.Error("bad")
		return out.String()
	}
	text := logged()
	require.Contains(t, text, "level=INFO msg=usual n=1\n")
	require.NotContains(t, text, "fine")
	require.Contains(t, logged("LOG_LEVEL", "debug"), "msg=fine")
	require.NotContains(t, logged("LOG_LEVEL", "error"), "usual")

	var line struct {
		Level, Msg string
		N          int
	}
	d := json.NewDecoder(bytes.NewBufferString(logged("LOG_FORMAT", "json")))
	require.NoError(t, d.Decode(&line))
	require.Equal(t, "INFO usual", line.Level+" "+line.Msg)
	require.Equal(t, 1, line.N)
}
