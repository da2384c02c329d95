package nats

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestASecondCopyWhoseFirstIsStillOnItsWayIsUnknown(t *testing.T) {
	outcome := afterSend(&jetstream.APIError{Code: 409, ErrorCode: errDuplicatePending, Description: "duplicate message id is in process"}, "a")
	require.Equal(t, Unknown, outcome.Kind)
	require.Equal(t, CodeNoAnswer, outcome.Code)
	require.Equal(t, "no ack: duplicate message id is in process", outcome.Text)
}
