package nats

import (
	"errors"
	"fmt"

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
	CodeDenied   = "permission_denied"
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
	// pending says that an earlier copy is on its way into the stream, so that
	// sending it once more leads nowhere.
	pending bool
	Code    string
	Text    string
}

func rejected(code, format string, args ...any) Outcome {
	return Outcome{Kind: Rejected, Code: code, Text: clean(fmt.Sprintf(format, args...))}
}

// away is a message that was not sent since there is no connection.
func away(err error) Outcome {
	var settings *settingsError
	if errors.As(err, &settings) {
		return rejected(CodeSettings, "%s", settings.Error())
	}
	var denied *deniedError
	if errors.As(err, &denied) {
		return rejected(CodeDenied, "%s", denied)
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

// errDuplicatePending is the answer to a second copy while a stream with replicas
// has not stored the first, for want of a leader perhaps.
const errDuplicatePending jetstream.ErrorCode = 10158

func refused(err *jetstream.APIError) Outcome {
	switch err.ErrorCode {
	case errDuplicatePending:
		return Outcome{Kind: Unknown, Code: CodeNoAnswer, pending: true, Text: "no ack: " + err.Description}
	case errStreamStoreFailed, errInsufficientResources, errStorageExceeded, errMemoryExceeded:
		return rejected(CodeFull, "the stream does not take it: %s", err.Description)
	case errMessageTooLarge:
		return rejected(CodeTooLarge, "the stream does not take it: %s", err.Description)
	}
	return rejected(CodeRefused, "the stream does not take it: %s", err.Description)
}
