package main

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// link is this process's connection to NATS and what is known over it.
type link struct {
	nc atomic.Pointer[nats.Conn]
	js atomic.Pointer[jetstream.JetStream]

	met    atomic.Bool  // the database was told that the stream is in reach
	there  atomic.Bool  // the stream was there when last looked for
	paused atomic.Int64 // no publishing before this moment (ns since began)
	clock  atomic.Int64 // how far the server's clock is ahead of ours, ns

	incarnation incarnation
	denials     denials
}

// reaches tells whether a publish to the stream has a chance now.
func (l *link) reaches() bool {
	return l.connected() && l.there.Load() && time.Since(began) >= time.Duration(l.paused.Load())
}

func (l *link) connected() bool {
	nc := l.nc.Load()
	return nc != nil && nc.IsConnected()
}

// pause keeps publishing away from a stream that just failed to take something.
func (l *link) pause(d time.Duration) { l.paused.Store(int64(time.Since(began) + d)) }

// now is the time on the server's clock, by which messages are stamped.
func (l *link) now() time.Time { return time.Now().Add(time.Duration(l.clock.Load())) }

func (l *link) setClock(server, asked, answered time.Time) {
	if server.IsZero() {
		return // a server that is too old to say
	}
	l.clock.Store(int64(server.Sub(asked.Add(answered.Sub(asked) / 2))))
}

func (l *link) close() {
	if nc := l.nc.Load(); nc != nil {
		// Acks are answered by now; naks have no answer, so wait until they have left.
		_ = nc.FlushTimeout(time.Second)
		nc.Close()
	}
}

// server is the address that nc is connected to: the rest of its URL may be a token.
func server(nc *nats.Conn) string {
	u, err := url.Parse(nc.ConnectedUrl())
	if err != nil {
		return ""
	}
	return u.Host
}

// connect waits for a server. Only a refusal of the very first connection is an
// error; later ones may come from credentials that are just being renewed.
func (w *worker) connect(ctx context.Context) error {
	options := append([]nats.Option{
		nats.Name("webhook-worker " + w.cfg.consumer),
		nats.Timeout(2 * time.Second),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		// With a buffer, what failed to leave would be sent after a reconnect, long
		// after the database was told that it failed.
		nats.ReconnectBufSize(-1),
		nats.FlusherTimeout(2 * time.Second),
		nats.PingInterval(10 * time.Second),
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				slog.Warn("nats is away", "error", oneLine(err.Error()))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { slog.Info("nats is there", "server", server(nc)) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !w.link.denials.denied(err) {
				w.nats.say("nats", err.Error())
			}
		}),
	}, w.cfg.natsAuth...)
	// Not RetryOnFailedConnect: it takes a refusal for an outage, and until the
	// first connect the client does not know that the server has headers.
	var b backoff
	for {
		nc, err := nats.Connect(w.cfg.natsURL, options...)
		if err == nil {
			js, err := jetstream.New(nc)
			if err != nil {
				nc.Close()
				return err
			}
			w.link.js.Store(&js)
			w.link.nc.Store(nc)
			slog.Info("nats is there", "server", server(nc))
			return nil
		}
		var unknown x509.UnknownAuthorityError
		switch {
		case errors.Is(err, nats.ErrAuthorization):
			return wrong("NATS_URL", "the server refuses the connection: %v; see NATS_USER, NATS_TOKEN, NATS_CREDS, NATS_NKEY_SEED_FILE", err)
		case errors.Is(err, nats.ErrSecureConnWanted):
			return wrong("NATS_URL", "the server has no TLS, which tls://, NATS_CA and NATS_CERT ask for")
		case errors.As(err, &unknown):
			return wrong("NATS_CA", "the server's certificate is signed by nobody we know: %v", unknown)
		}
		w.nats.say("waiting for nats", err.Error())
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
}
