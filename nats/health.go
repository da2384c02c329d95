package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Health is what a look at NATS found.
type Health struct {
	Connected     bool
	Error         string
	Server        string
	ServerVersion string
	RoundTrip     time.Duration
	Streams       []StreamHealth
}

// StreamHealth is how full a stream of the configuration is.
type StreamHealth struct {
	Stream   string   `json:"stream"`
	Messages uint64   `json:"messages"`
	Bytes    uint64   `json:"bytes"`
	MaxBytes int64    `json:"max_bytes"`
	Error    string   `json:"error,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Look connects if need be and says how NATS is, within ctx.
func (p *Pool) Look(ctx context.Context) Health {
	p.requests.Add(1)
	link, err := p.connection(ctx, true)
	if err != nil {
		return Health{Error: away(err).Text}
	}
	health := Health{Server: link.conn.ConnectedServerName(), ServerVersion: link.conn.ConnectedServerVersion()}
	start := time.Now()
	if err := link.conn.FlushWithContext(ctx); err != nil {
		health.Error = away(err).Text
		return health
	}
	health.RoundTrip = time.Since(start)
	health.Connected = true
	if !p.config.JetStream {
		return health
	}
	for i := range p.config.Streams {
		health.Streams = append(health.Streams, lookAt(ctx, link.js, &p.config.Streams[i]))
	}
	return health
}

func lookAt(ctx context.Context, js jetstream.JetStream, s *Stream) StreamHealth {
	seen := StreamHealth{Stream: s.Name, Warnings: s.Warnings()}
	stream, err := js.Stream(ctx, s.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		seen.Error = "not in NATS yet; the first publish or rule_nats_init() makes it"
	case err != nil:
		seen.Error = explain(err)
	default:
		info := stream.CachedInfo()
		seen.Messages = info.State.Msgs
		seen.Bytes = info.State.Bytes
		seen.MaxBytes = info.Config.MaxBytes
	}
	return seen
}
