package main

import (
	"io"
	"log"
	"log/slog"
)

func logTo(cfg *config, to io.Writer) {
	slog.SetDefault(newLogger(cfg, to))
	log.SetOutput(foreign{})
}

// newLogger writes lines of text, or of JSON. No line at any level has a secret or a payload in it.
func newLogger(cfg *config, to io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.logLevel}
	if cfg.logJSON {
		return slog.New(slog.NewJSONHandler(to, options))
	}
	return slog.New(slog.NewTextHandler(to, options))
}
