// Package publisher is the loop that anybody would write in Go with nats.go: publish, wait for the
// ack, again.
package publisher

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/nats/wire"
)

// An Event is what every message says, but for its id.
type Event struct {
	Subject     string
	Source      string
	WebhookID   int32
	WebhookName string
	Payload     string
}

// A Publisher has a connection of its own, as every session has one.
type Publisher struct {
	event Event
	conn  *nats.Conn
	js    jetstream.JetStream
}

// New connects.
func New(url string, event Event) (*Publisher, error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &Publisher{event, conn, js}, nil
}

// Close disconnects.
func (p *Publisher) Close() { p.conn.Close() }

// Publish sends what a session would send: the same subject, headers and body, an id of its own.
func (p *Publisher) Publish(ctx context.Context) error {
	header := wire.Event{
		Source:      p.event.Source,
		WebhookID:   p.event.WebhookID,
		WebhookName: p.event.WebhookName,
		MessageID:   rand.Text(),
		Transaction: 4711,
	}.Header()
	_, err := p.js.PublishMsg(ctx, &nats.Msg{Subject: p.event.Subject, Header: header, Data: []byte(p.event.Payload)})
	return err
}

// Work publishes until a moment has come, and says how often.
func (p *Publisher) Work(ctx context.Context, until time.Time) (n int, err error) {
	for ; time.Now().Before(until); n++ {
		if err := p.Publish(ctx); err != nil {
			return n, err
		}
	}
	return n, nil
}
