package main

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// early is a message that was read from the stream. It is settled when the consumer delivers it.
type early struct {
	jetstream.Msg // nil: for what nobody asks of it
	raw           *jetstream.RawStreamMsg
	stream        string
	again         func(sequence uint64, wait time.Duration)
}

func (m *early) Data() []byte { return m.raw.Data }

func (m *early) Headers() nats.Header { return m.raw.Header }

func (m *early) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Stream: m.stream, Sequence: jetstream.SequencePair{Stream: m.raw.Sequence}, Timestamp: m.raw.Time}, nil
}

// Nak leaves the message to the consumer.
func (m *early) Nak() error { return nil }

func (m *early) NakWithDelay(wait time.Duration) error {
	m.again(m.raw.Sequence, wait)
	return nil
}

func (m *early) InProgress() error { return nil }

// early tells whether the message was read past a backlog, and the consumer has still to deliver it.
func (e *event) early() bool {
	_, early := e.msg.(*early)
	return early
}
