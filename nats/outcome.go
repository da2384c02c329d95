package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Kind is what became of a message.
type Kind int

const (
	// Unknown: no answer came. The message may be in the stream.
	Unknown Kind = iota
	// Acked: the server has it.
	Acked
	// Rejected: no stream has it and none will.
	Rejected
)

// Codes of outcomes that are not acks, as they stand in a result's error_code.
const (
	CodeAway     = "nats_away"
	CodeNoStream = "no_stream"
	CodeFull     = "stream_full"
	CodeTooLarge = "max_payload"
	CodeRefused  = "rejected"
	CodeNoAnswer = "no_answer"
	CodeSettings = "configuration"
	CodeInternal = "internal"
)

// Outcome is what became of one message.
type Outcome struct {
	Kind      Kind
	Stream    string
	Sequence  uint64
	Duplicate bool
	// resent says that the message was sent more than once under its id, so that
	// a duplicate may be of its own making.
	resent bool
	Code   string
	Text   string
}

func rejected(code, format string, args ...any) Outcome {
	return Outcome{Kind: Rejected, Code: code, Text: fmt.Sprintf(format, args...)}
}

// away is a message that was not sent since there is no connection.
func away(err error) Outcome {
	var settings *settingsError
	switch {
	case errors.As(err, &settings):
		return rejected(CodeSettings, "%s", settings.Error())
	case errors.Is(err, nats.ErrMaxPayload):
		// The client counts the headers, too.
		return rejected(CodeTooLarge, "payload and headers are over the server's max_payload")
	}
	return rejected(CodeAway, "NATS is away: %s", explain(err))
}

// afterSend is the outcome of a message that was handed to the connection and
// came back with err.
func afterSend(err error, subject string) Outcome {
	var api jetstream.JetStreamError
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return rejected(CodeNoStream, "no stream takes subject %q", subject)
	case errors.As(err, &api) && api.APIError() != nil:
		return refused(api.APIError())
	}
	return Outcome{Kind: Unknown, Code: CodeNoAnswer, Text: "no ack: " + explain(err)}
}

// Error codes of a full stream or server (nats-server, server/errors.json).
const (
	errStreamStoreFailed     jetstream.ErrorCode = 10077
	errInsufficientResources jetstream.ErrorCode = 10023
	errStorageExceeded       jetstream.ErrorCode = 10047
	errMemoryExceeded        jetstream.ErrorCode = 10028
	errMessageTooLarge       jetstream.ErrorCode = 10054
)

func refused(err *jetstream.APIError) Outcome {
	switch err.ErrorCode {
	case errStreamStoreFailed, errInsufficientResources, errStorageExceeded, errMemoryExceeded:
		return rejected(CodeFull, "the stream does not take it: %s", err.Description)
	case errMessageTooLarge:
		return rejected(CodeTooLarge, "the stream does not take it: %s", err.Description)
	}
	return rejected(CodeRefused, "the stream does not take it: %s", err.Description)
}

// explain is an error of the client in words that hold no URL.
func explain(err error) string {
	var op *net.OpError
	var parse *url.Error
	switch {
	case errors.As(err, &parse):
		// What it says can quote a password.
		return "nats_url holds no URL"
	case errors.Is(err, nats.ErrNoServers):
		// What the client makes of refused connections.
		return "connection refused"
	case errors.As(err, &op):
		return strings.ReplaceAll(op.Err.Error(), "connect: ", "")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout),
		errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return "timed out"
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected):
		return "the connection was lost"
	}
	return strings.TrimPrefix(err.Error(), "nats: ")
}

// settingsError is a configuration with which no connection can be tried.
type settingsError struct{ err error }

func (e *settingsError) Error() string { return e.err.Error() }
