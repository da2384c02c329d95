package main

import (
	"bytes"
	"log"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatALibraryLogsStandsInTheLogWithoutWhatItQuotes(t *testing.T) {
	cfg, err := readConfig(environment("LOG_LEVEL", "debug"))
	require.NoError(t, err)
	logger, writer, flags := slog.Default(), log.Writer(), log.Flags()
	defer func() {
		slog.SetDefault(logger)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}()
	var out bytes.Buffer
	logTo(cfg, &out)
	log.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", `a "secret"`, nil)
	log.Printf("http: TLS handshake error from 127.0.0.1: bad %q", "sec\\ret")
	require.Contains(t, out.String(), `level=DEBUG msg="Unsolicited response received on idle HTTP channel"`)
	require.Contains(t, out.String(), `level=INFO msg="http: TLS handshake error from 127.0.0.1: bad \"...\""`)
	require.NotContains(t, out.String(), "ret")
}
