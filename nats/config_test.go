package nats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAStreamCoversWhatNATSWouldRouteToIt(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		covered          bool
	}{
		{"webhooks.>", "webhooks.a", true},
		{"webhooks.>", "webhooks.a.b", true},
		{"webhooks.>", "webhooks", false},
		{"webhooks.>", "other.a", false},
		{"webhooks.*", "webhooks.a", true},
		{"webhooks.*", "webhooks.a.b", false},
		{"webhooks.*.b", "webhooks.a.b", true},
		{"*.a", "webhooks.a", true},
		{">", "webhooks.a", true},
		{"webhooks.a", "webhooks.a", true},
		{"webhooks.a", "webhooks.A", false},
		{"webhooks.a", "webhooks", false},
	} {
		s := Stream{Subjects: []string{"elsewhere", c.pattern}}
		require.Equal(t, c.covered, s.covers(c.subject), "%s and %s", c.pattern, c.subject)
	}
}

func TestAURLIsShownWithoutUserInfo(t *testing.T) {
	for given, shown := range map[string]string{
		"nats://localhost:4222":             "nats://localhost:4222",
		"nats://user:secret@host:4222":      "nats://***@host:4222",
		"nats://token@host":                 "nats://***@host",
		"user:secret@host":                  "***@host",
		"tls://u:p@ss@host:4222":            "tls://***@host:4222",
		"nats://host:4222/path?user=a":      "nats://host:4222/path?user=a",
		"nats://user:se://cret@host.x:4222": "nats://***@host.x:4222",
	} {
		require.Equal(t, shown, redact(given))
	}
	c := Config{URLs: []string{"nats://a:b@one", "nats://two"}}
	require.Equal(t, "nats://***@one,nats://two", c.ShownURLs())
	c = Config{URLs: []string{"nats://a:12", "s3cret@one"}}
	require.Equal(t, "nats://***@one", c.ShownURLs())
}

func TestAWrongSecretIsRefusedWithoutShowingIt(t *testing.T) {
	c := Config{AuthType: "nkey", NKeySeed: "SUAMNOTASEED"}
	_, err := c.options("test", &link{})
	require.ErrorContains(t, err, "auth_nkey_seed")
	require.NotContains(t, err.Error(), "SUAMNOTASEED")

	c = Config{AuthType: "kerberos"}
	_, err = c.options("test", &link{})
	require.ErrorContains(t, err, `"kerberos"`)
}

func TestAStreamThatCanDropEventsIsNamed(t *testing.T) {
	safe := Stream{Retention: "workqueue", Discard: "new", MaxBytes: 1 << 30}
	require.Empty(t, safe.Warnings())

	for _, risky := range []Stream{
		{Retention: "workqueue", Discard: "new", MaxAge: time.Hour},
		{Retention: "workqueue", Discard: "old", MaxBytes: 1},
		{Retention: "limits", Discard: "old", MaxMessages: 1},
		{Retention: "interest", Discard: "new"},
	} {
		require.Len(t, risky.Warnings(), 1, "%+v", risky)
	}
}
