package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// askAgain is how often the database is asked for a stream that is missing.
const askAgain = 5 * time.Second

// makeStream makes the stream that is missing when rows of the queue wait for
// it: NATS was away when they were published, and no publish has made it since.
func (w *worker) makeStream() (jetstream.Stream, error) {
	if time.Since(w.missed) < askAgain {
		return nil, jetstream.ErrStreamNotFound
	}
	w.missed = time.Now()
	hi, err := w.db.hello(w.taking, false, []string{w.cfg.stream})
	if err != nil {
		return nil, err
	}
	definition, ok := hi.Streams[w.cfg.stream]
	if !ok {
		return nil, jetstream.ErrStreamNotFound
	}
	var config jetstream.StreamConfig
	if err := json.Unmarshal(definition, &config); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(w.taking, apiWait)
	defer cancel()
	_, err = (*w.link.js.Load()).CreateStream(ctx, config)
	if err == nil {
		slog.Info("made the stream that events wait for", "stream", w.cfg.stream)
	} else if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another was quicker
		return nil, err
	}
	return w.findStream(w.taking)
}
