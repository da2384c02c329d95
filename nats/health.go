package nats

import (
	"context"
	"errors"
	"fmt"
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
	// JetStream is nil where the configuration does without, or where
	// JetStreamError says why nothing is known.
	JetStream      *JetStreamHealth
	JetStreamError string
	Streams        []StreamHealth
}

// JetStreamHealth is what the account uses of JetStream; a limit of -1 is none.
type JetStreamHealth struct {
	Memory     uint64 `json:"memory_bytes"`
	MaxMemory  int64  `json:"max_memory_bytes"`
	Storage    uint64 `json:"file_bytes"`
	MaxStorage int64  `json:"max_file_bytes"`
	Streams    int    `json:"streams"`
	MaxStreams int    `json:"max_streams"`
}

// StreamHealth is how full a stream of the configuration is.
type StreamHealth struct {
	Stream      string `json:"stream"`
	Messages    uint64 `json:"messages"`
	MaxMessages int64  `json:"max_messages"`
	Bytes       uint64 `json:"bytes"`
	MaxBytes    int64  `json:"max_bytes"`
	// FillPercentage is of the limit that is nearer, 0 where there is none.
	FillPercentage int      `json:"fill_percentage"`
	Error          string   `json:"error,omitempty"`
	Warnings       []string `json:"warnings,omitempty"`
}

// fullFrom is the fill from which on a stream is named in a warning.
const fullFrom = 80

// Look connects if need be and says how NATS is, within ctx. A look that failed
// within the last connection time-out is not repeated, so that a view over many
// dead configurations, or read often, waits for each once.
func (p *Pool) Look(ctx context.Context) Health {
	p.requests.Add(1)
	p.begin()
	defer p.end()
	if known := p.lastLook.Load(); known != nil && time.Since(known.at) < p.config.ConnectionTimeout && !p.stands() {
		return known.health
	}
	// The client waits for its locks without a look at ctx.
	found := make(chan Health, 1)
	go guard(func() { found <- p.look(ctx) })
	var health Health
	select {
	case health = <-found:
	case <-ctx.Done():
		health = Health{Error: away(errSilent).Text}
	}
	if health.Connected {
		p.lastLook.Store(nil)
	} else {
		p.doubtCarrier()
		p.lastLook.Store(&lastLook{health, time.Now()})
	}
	return health
}

// doubt is for a connection that stands and did not answer a look.
func (p *Pool) doubtCarrier() {
	if l := p.carrier(); l != nil && l.standing.Load() {
		p.doubt(l)
	}
}

// lastLook is a look that failed.
type lastLook struct {
	health Health
	at     time.Time
}

func (p *Pool) look(ctx context.Context) Health {
	link, err := p.connection(ctx, true)
	if err != nil {
		return Health{Error: away(err).Text}
	}
	trip, err := p.roundTrip(ctx, link)
	if err != nil && p.config.MaxConnections > 1 {
		p.doubt(link)
		p.failOver(link)
		if link, err = p.await(ctx); err == nil {
			trip, err = p.roundTrip(ctx, link)
		}
	}
	if err != nil {
		return Health{Error: away(err).Text}
	}
	health := Health{
		Connected:     true,
		RoundTrip:     trip,
		Server:        clean(link.conn.ConnectedServerName()),
		ServerVersion: clean(link.conn.ConnectedServerVersion()),
	}
	if !p.config.JetStream {
		return health
	}
	// What is asked of JetStream may go unanswered by itself, which is to be said
	// in time.
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)*9/10)
		defer cancel()
	}
	if health.JetStream, err = limits(ctx, link); err != nil {
		health.JetStreamError = explain(err)
	}
	for i := range p.config.Streams {
		health.Streams = append(health.Streams, lookAt(ctx, link, &p.config.Streams[i]))
	}
	return health
}

// roundTrip takes no longer than half of what is left where another connection
// may be tried with the rest.
func (p *Pool) roundTrip(ctx context.Context, link *link) (time.Duration, error) {
	if end, ok := ctx.Deadline(); ok && p.config.MaxConnections > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	start := time.Now()
	err := link.conn.FlushWithContext(ctx)
	return time.Since(start), err
}

func limits(ctx context.Context, link *link) (*JetStreamHealth, error) {
	var account *jetstream.AccountInfo
	err := link.ask(ctx, func(ctx context.Context) (err error) {
		account, err = link.js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &JetStreamHealth{
		Memory: account.Memory, MaxMemory: account.Limits.MaxMemory,
		Storage: account.Store, MaxStorage: account.Limits.MaxStore,
		Streams: account.Streams, MaxStreams: account.Limits.MaxStreams,
	}, nil
}

func lookAt(ctx context.Context, link *link, s *Stream) StreamHealth {
	seen := StreamHealth{Stream: s.Name, Warnings: s.Warnings()}
	stream, err := link.stream(ctx, s.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		seen.Error = "not in NATS yet; the first publish or rule_nats_init() makes it"
	case err != nil:
		seen.Error = explain(err)
	default:
		info := stream.CachedInfo()
		seen.Warnings = append(seen.Warnings, s.dropping(&info.Config)...)
		seen.Messages, seen.MaxMessages = info.State.Msgs, info.Config.MaxMsgs
		seen.Bytes, seen.MaxBytes = info.State.Bytes, info.Config.MaxBytes
		seen.FillPercentage = max(percent(seen.Messages, seen.MaxMessages), percent(seen.Bytes, seen.MaxBytes))
		if seen.FillPercentage >= fullFrom {
			seen.Warnings = append(seen.Warnings, fmt.Sprintf("the stream is %d %% full", seen.FillPercentage))
		}
	}
	return seen
}

func percent(used uint64, limit int64) int {
	if limit <= 0 {
		return 0
	}
	return int(100 * float64(used) / float64(limit))
}
