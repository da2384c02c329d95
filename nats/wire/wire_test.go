package wire

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

type golden struct {
	Headers map[string]string
	Events  []struct {
		Name  string
		Event struct {
			Source      string
			WebhookID   int32  `json:"webhook_id"`
			WebhookName string `json:"webhook_name"`
			MessageID   string `json:"message_id"`
			Transaction *string
			Traceparent *string
			Republish   bool
		}
		Headers map[string]string
	}
	Strangers []struct {
		Name      string
		Headers   map[string]string
		Malformed []string
	}
	MessageIDs   verdicts `json:"message_ids"`
	Subjects     verdicts
	Traceparents verdicts
}

type verdicts struct{ Accepted, Refused []string }

func readGolden(t *testing.T) golden {
	t.Helper()
	text, err := os.ReadFile("../../test/golden/wire.json")
	require.NoError(t, err)
	var g golden
	require.NoError(t, json.Unmarshal(text, &g))
	require.NotEmpty(t, g.Events)
	require.NotEmpty(t, g.Strangers)
	return g
}

func header(flat map[string]string) map[string][]string {
	h := map[string][]string{}
	for name, value := range flat {
		h[name] = []string{value}
	}
	return h
}

func TestHeaderNamesAreTheGoldenOnes(t *testing.T) {
	require.Equal(t, map[string]string{
		"msg_id":       HeaderMsgID,
		"source":       HeaderSource,
		"webhook_id":   HeaderWebhookID,
		"webhook_name": HeaderWebhookName,
		"message_id":   HeaderMessageID,
		"transaction":  HeaderTransaction,
		"traceparent":  HeaderTraceparent,
	}, readGolden(t).Headers)
}

func TestEventsComposeAndParseAsInTheGoldenFile(t *testing.T) {
	for _, c := range readGolden(t).Events {
		t.Run(c.Name, func(t *testing.T) {
			e := Event{
				Source: c.Event.Source, WebhookID: c.Event.WebhookID,
				WebhookName: c.Event.WebhookName, MessageID: c.Event.MessageID,
				Republish: c.Event.Republish,
			}
			if c.Event.Transaction != nil {
				x, err := strconv.ParseUint(*c.Event.Transaction, 10, 64)
				require.NoError(t, err)
				e.Transaction = x
			}
			if c.Event.Traceparent != nil {
				e.Traceparent = *c.Event.Traceparent
			}
			require.Equal(t, header(c.Headers), e.Header())

			read := Event{WebhookID: e.WebhookID, MessageID: e.MessageID, Traceparent: e.Traceparent}
			require.Equal(t, read, Parse(header(c.Headers)))
		})
	}
}

func TestOfAStrangersMessageOnlyWhatIsRightIsRead(t *testing.T) {
	for _, c := range readGolden(t).Strangers {
		t.Run(c.Name, func(t *testing.T) {
			e := Parse(header(c.Headers))
			require.Equal(t, slices.Contains(c.Malformed, HeaderWebhookID), e.WebhookID == 0)
			require.Equal(t, slices.Contains(c.Malformed, HeaderMessageID), e.MessageID == "")
		})
	}
}

func TestIDsSubjectsAndTracesAreTakenOrRefusedAsInTheGoldenFile(t *testing.T) {
	g := readGolden(t)
	check := func(name string, v verdicts, ok func(string) bool) {
		require.NotEmpty(t, v.Accepted, name)
		require.NotEmpty(t, v.Refused, name)
		for _, s := range v.Accepted {
			require.True(t, ok(s), "%s %q must be accepted", name, s)
		}
		for _, s := range v.Refused {
			require.False(t, ok(s), "%s %q must be refused", name, s)
		}
	}
	check("message id", g.MessageIDs, func(s string) bool { return CheckMessageID(s) == nil })
	check("subject", g.Subjects, func(s string) bool { return CheckSubject(s) == nil })
	check("traceparent", g.Traceparents, ValidTraceparent)

	// JSON cannot carry these.
	require.ErrorIs(t, CheckMessageID("a\xff"), ErrEncoding)
	require.ErrorIs(t, CheckSubject("a\xff"), ErrEncoding)
}

func TestAMalformedTraceDoesNotEnterAHeader(t *testing.T) {
	h := Event{Source: "s", WebhookID: 7, MessageID: "m", Traceparent: "x\r\ny: z"}.Header()
	require.NotContains(t, h, HeaderTraceparent)
}

func FuzzParse(f *testing.F) {
	f.Add("7", "m")
	f.Fuzz(func(t *testing.T, webhook, message string) {
		e := Parse(map[string][]string{HeaderWebhookID: {webhook}, HeaderMessageID: {message}})
		if e.WebhookID != 0 && e.MessageID != "" {
			require.Equal(t, e, Parse(e.Header()))
		}
	})
}
