package conformance

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// own is what a webhook waits by itself, 20 per cent more or less.
	own = 10 * time.Minute
	day = 24 * time.Hour
	// slack is what may pass between a try and its report.
	slack = time.Minute
)

func TestRetryAfterIsHonouredInEveryForm(t *testing.T) {
	const clock = "Date: Sun, 01 Mar 2020 12:00:00 GMT\r\n" // the endpoint's own, years behind
	for name, c := range map[string]struct {
		header string
		want   time.Duration // 0: the webhook's own
	}{
		"none":                 {"", 0},
		"empty":                {"Retry-After:\r\n", 0},
		"0":                    {"Retry-After: 0\r\n", 0},
		"less than its own":    {"Retry-After: 5\r\n", 0},
		"an hour":              {"Retry-After: 3600\r\n", time.Hour},
		"with blanks":          {"Retry-After:   3600  \r\n", time.Hour},
		"with zeros":           {"Retry-After: 00003600\r\n", time.Hour},
		"a day":                {"Retry-After: 86400\r\n", day},
		"more than a day":      {"Retry-After: 86401\r\n", day},
		"10^20":                {"Retry-After: 100000000000000000000\r\n", day},
		"negative":             {"Retry-After: -7200\r\n", 0},
		"signed":               {"Retry-After: +7200\r\n", 0},
		"a fraction":           {"Retry-After: 7200.5\r\n", 0},
		"an exponent":          {"Retry-After: 72e2\r\n", 0},
		"a word":               {"Retry-After: soon\r\n", 0},
		"other digits":         {"Retry-After: \u0663\u0666\u0660\u0660\r\n", 0},
		"given twice":          {"Retry-After: 3600\r\nRetry-After: 7200\r\n", time.Hour},
		"a list":               {"Retry-After: 3600, 7200\r\n", 0},
		"RFC 1123":             {clock + "Retry-After: Sun, 01 Mar 2020 13:00:00 GMT\r\n", time.Hour},
		"RFC 850":              {clock + "Retry-After: Sunday, 01-Mar-20 13:00:00 GMT\r\n", time.Hour},
		"asctime":              {clock + "Retry-After: Sun Mar  1 13:00:00 2020\r\n", time.Hour},
		"past":                 {clock + "Retry-After: Sun, 01 Mar 2020 11:00:00 GMT\r\n", 0},
		"long past":            {"Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n", 0},
		"years ahead":          {clock + "Retry-After: Sat, 01 Mar 2036 12:00:00 GMT\r\n", day},
		"the last date":        {clock + "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", day},
		"no day of that month": {clock + "Retry-After: Mon, 30 Feb 2020 13:00:00 GMT\r\n", 0},
		"no hour of the day":   {clock + "Retry-After: Sun, 01 Mar 2020 25:00:00 GMT\r\n", 0},
		"another zone":         {clock + "Retry-After: Sun, 01 Mar 2020 13:00:00 CET\r\n", 0},
		"ISO 8601":             {clock + "Retry-After: 2020-03-01T13:00:00Z\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, got := told(t, c.header)
			wait := h.nextTry().Sub(got.StartedAt)
			if c.want == 0 {
				require.InDelta(t, own.Seconds(), wait.Seconds(), 0.2*own.Seconds()+slack.Seconds())
			} else {
				require.InDelta(t, c.want.Seconds(), wait.Seconds(), slack.Seconds())
			}
		})
	}
	then := time.Now().UTC().Add(time.Hour)
	for name, header := range map[string]string{
		"by our clock, RFC 1123": "Retry-After: " + then.Format(http.TimeFormat) + "\r\n",
		"by our clock, RFC 850":  "Retry-After: " + then.Format("Monday, 02-Jan-06 15:04:05 GMT") + "\r\n",
		"by our clock, asctime":  "Retry-After: " + then.Format(time.ANSIC) + "\r\n",
		"a clock that is none":   "Date: today\r\nRetry-After: " + then.Format(http.TimeFormat) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := told(t, header)
			require.WithinDuration(t, then, h.nextTry(), slack)
		})
	}
}

// told is a webhook whose one try was answered by 503 and further headers.
func told(t *testing.T, header string) (hook, attempt) {
	t.Helper()
	s := serve(t, says("HTTP/1.1 503 X\r\n"+header+"Content-Length: 0\r\n\r\n"))
	h := aHook(t, s.url)
	got := h.once()
	require.NotNil(t, got.Status, got.error())
	require.Equal(t, 503, *got.Status)
	return h, got
}

func (h hook) nextTry() (at time.Time) {
	h.t.Helper()
	ask(h.t, &at, "SELECT next_retry_at FROM rule_webhook_queue WHERE webhook_id = $1", h.id)
	return at
}
