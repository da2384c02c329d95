package conformance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// floods answers with a head and then with more of the same for as long as somebody reads it.
func floods(head, more string) answerer {
	piece := []byte(strings.Repeat(more, 1+(64<<10)/len(more)))
	return func(c net.Conn, _ request) bool {
		_, err := io.WriteString(c, head)
		for err == nil {
			_, err = c.Write(piece)
		}
		return false
	}
}

// drips is floods, a byte at a time.
func drips(head string) answerer {
	return func(c net.Conn, _ request) bool {
		_, err := io.WriteString(c, head)
		for err == nil {
			time.Sleep(50 * time.Millisecond)
			_, err = io.WriteString(c, "x")
		}
		return false
	}
}

func TestOneDeadlineSpansTheWholeAnswer(t *testing.T) {
	for name, answer := range map[string]answerer{
		"nothing at all":               hangs(""),
		"half a status line":           hangs("HTTP/1.1 20"),
		"a header without its end":     hangs("HTTP/1.1 200 OK\r\nX: y\r\n"),
		"a body without its end":       hangs("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
		"chunks without their end":     hangs("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
		"information and no answer":    hangs("HTTP/1.1 103 Early Hints\r\n\r\n"),
		"one byte of header at a time": drips("HTTP/1.1 200 OK\r\nX: "),
		"one byte of a body at a time": drips("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
		"one byte of an end at a time": drips("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "),
		"a refusal a byte at a time":   drips("HTTP/1.1 404 Not Found\r\nContent-Length: 9999\r\n\r\n"),
		"one byte of status at a time": drips("HTTP/1.1 200 "),
		"one byte of a size at a time": drips("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			s := serve(t, closing(ended, answer))
			got := aHook(t, s.url, aShortTimeout).once()
			require.Equal(t, tooLate, got.error())
			require.Nil(t, got.Status)
			require.Equal(t, "again", got.Outcome)
			require.GreaterOrEqual(t, got.Duration, short-10)
			require.Less(t, got.Duration, soon)
			await(t, ended)
			require.Len(t, s.got(), 1)
		})
	}
}

func TestAnAnswerWithoutAnEndIsReadToItsBoundOnly(t *testing.T) {
	for _, status := range []int{200, 404, 500} {
		for name, answer := range map[string]answerer{
			"until the connection ends": floods(fmt.Sprintf("HTTP/1.1 %d X\r\n\r\n", status), "a"),
			"in chunks":                 floods(fmt.Sprintf("HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n", status), "a\r\naaaaaaaaaa\r\n"),
			"in chunks of a byte":       floods(fmt.Sprintf("HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n", status), "1\r\na\r\n"),
			"and then silence":          hangs(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 99999\r\n\r\n%s", status, strings.Repeat("a", 17<<10))),
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				t.Parallel()
				ended := make(chan struct{})
				s := serve(t, closing(ended, answer))
				got := aHook(t, s.url, aLongTimeout).once()
				require.NotNil(t, got.Status, got.error())
				require.Equal(t, status, *got.Status)
				require.Less(t, got.Duration, soon)
				if status == 200 {
					require.Equal(t, "delivered", got.Outcome)
					require.Nil(t, got.Answer)
				} else {
					require.Equal(t, "again", got.Outcome)
					require.Equal(t, strings.Repeat("a", 1024), *got.Answer)
				}
				await(t, ended)
				require.Len(t, s.got(), 1)
			})
		}
	}
}

func TestWhatStandsAroundChunksIsBounded(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]answerer{
		"an extension of each byte":   floods(head, "1;"+strings.Repeat("x", 3000)+"\r\na\r\n"),
		"an extension without an end": floods(head+"1;", "x"),
		"a size without an end":       floods(head, "0"),
		"a trailer without an end":    floods(head+"0\r\nX: ", "x"),
		"trailers without an end":     floods(head+"0\r\n", "X: y\r\n"),
	} {
		t.Run(name, func(t *testing.T) { isCutOff(t, answer) })
	}
}

// isCutOff sees that a worker leaves an answer long before its time-out, closes the connection and calls it an outage.
func isCutOff(t *testing.T, answer answerer) {
	t.Helper()
	t.Parallel()
	ended := make(chan struct{})
	s := serve(t, closing(ended, answer))
	got := aHook(t, s.url, aLongTimeout).once()
	require.Nil(t, got.Status)
	require.Equal(t, "again", got.Outcome)
	require.NotEmpty(t, got.error())
	require.NotContains(t, got.error(), "no whole answer")
	require.Less(t, got.Duration, soon)
	await(t, ended)
	require.Len(t, s.got(), 1)
}

func TestAnAnswerThatHasNoBodyIsWholeWithItsHeader(t *testing.T) {
	for _, status := range []int{204, 304} {
		for name, text := range map[string]string{
			"announced and sent":     "Content-Length: 5\r\n\r\nhello",
			"announced and not sent": "Content-Length: 5\r\n\r\n",
			"in chunks":              "Transfer-Encoding: chunked\r\n\r\n",
			"sent without a word":    "\r\nhello",
			"none":                   "\r\n",
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				t.Parallel()
				s := serve(t, hangs(fmt.Sprintf("HTTP/1.1 %d X\r\n%s", status, text)))
				got := aHook(t, s.url, aLongTimeout).once()
				require.NotNil(t, got.Status, got.error())
				require.Equal(t, status, *got.Status)
				require.Less(t, got.Duration, soon)
			})
		}
	}
}

func TestNothingIsUnpacked(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, err := io.CopyN(w, zeros{}, 16<<20)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Less(t, bomb.Len(), mostOfAnswer+1<<10)
	for status, outcome := range map[int]string{200: "delivered", 500: "again"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s",
				status, bomb.Len(), bomb.String())))
			got := aHook(t, s.url).once()
			require.NotNil(t, got.Status, got.error())
			require.Equal(t, outcome, got.Outcome)
			require.Empty(t, s.got()[0].Header.Get("Accept-Encoding"))
			if status == 500 {
				require.True(t, strings.HasPrefix(*got.Answer, "\x1f\uFFFD\x08"), "%q", *got.Answer)
			}
		})
	}
}

const mostOfAnswer = 16 << 10

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestWhatComesBeforeAnAnswerIsBounded(t *testing.T) {
	for name, answer := range map[string]answerer{
		"1 MB of headers":             hangs("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Pad: "+strings.Repeat("x", 1000)+"\r\n", 1000) + "\r\n"),
		"one header of 1 MB":          hangs("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"),
		"headers without an end":      floods("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
		"a header without an end":     floods("HTTP/1.1 200 OK\r\nX: ", "x"),
		"a name without an end":       floods("HTTP/1.1 200 OK\r\n", "x"),
		"a flood of 100":              floods("", "HTTP/1.1 100 Continue\r\n\r\n"),
		"a flood of 102":              floods("", "HTTP/1.1 102 Processing\r\n\r\n"),
		"a flood of 103 with headers": floods("", "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) { isCutOff(t, answer) })
	}
}

func TestAnAnswerThatBreaksOffIsAFailure(t *testing.T) {
	for name, text := range map[string]string{
		"in the status line": "HTTP/1.1 20",
		"in the header":      "HTTP/1.1 200 OK\r\nX: y\r\n",
		"in the body":        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"between chunks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
		"before it":          "",
	} {
		for how, answer := range map[string]answerer{"closed": says(text), "reset": resets(text)} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				s := serve(t, answer)
				got := aHook(t, s.url).once()
				require.Nil(t, got.Status)
				require.Equal(t, "again", got.Outcome)
				require.NotEmpty(t, got.error())
				require.NotContains(t, got.error(), "no whole answer")
				if strings.Contains(text, "\r\n\r\n") && how == "closed" {
					require.Contains(t, got.error(), "status 200, but the answer broke off")
				}
				require.Len(t, s.got(), 1)
			})
		}
	}
}

// resets answers with a text and then breaks the connection.
func resets(text string) answerer {
	return func(c net.Conn, _ request) bool {
		_, _ = io.WriteString(c, text)
		if text != "" {
			time.Sleep(50 * time.Millisecond) // a reset overtakes what was not read
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		return false
	}
}

// An endpoint may say again what it was sent: the payload, or what of its URL is a secret. What a worker's errors say
// reaches its log, and views that show neither.
func TestWhatAnEndpointSaysInPlaceOfAnAnswerIsInNoError(t *testing.T) {
	const head, chunks = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for where, text := range map[string]string{
		"no answer":            "hunter2\r\n\r\n",
		"quotes":               "\"\\\"hunter2\"\" \"\r\n\r\n",
		"several lines":        "a\nb \"c\rhunter2\"\r\n\r\n",
		"bytes":                "\x00\xff\"hunter2\xc3\r\n\r\n",
		"a request":            "POST /hunter2 HTTP/1.1\r\nHost: hunter2\r\n\r\n",
		"a version":            "HTTP/hunter2 200 OK\r\n\r\n",
		"a status":             "HTTP/1.1 /hunter2 OK\r\n\r\n",
		"a status of three":    "HTTP/1.1 abc hunter2\r\n\r\n",
		"a number below 100":   "HTTP/1.1 -12 hunter2\r\n\r\n",
		"a header's line":      head + "{\"card\": \"hunter2\"}\r\n\r\n",
		"the first line":       head + " hunter2: x\r\n\r\n",
		"a header's name":      head + "hunter2 x: y\r\n\r\n",
		"a nameless header":    head + ": hunter2\r\n\r\n",
		"a header's value":     head + "X: hunter2\x00\r\n\r\n",
		"a length":             head + "Content-Length: hunter2\r\n\r\n",
		"two lengths":          head + "Content-Length: 1\r\nContent-Length: hunter2\r\n\r\n",
		"an encoding":          head + "Transfer-Encoding: hunter2\r\n\r\n",
		"two encodings":        head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: hunter2\r\n\r\n",
		"a trailer's name":     head + "Transfer-Encoding: chunked\r\nTrailer: hunter2, Content-Length\r\n\r\n",
		"a chunk's size":       chunks + "hunter2\r\n",
		"an end of a chunk":    chunks + "1\r\nahunter2\r\n",
		"a trailer":            chunks + "0\r\nhunter2\r\n\r\n",
		"another protocol":     head + "Upgrade: hunter2\r\nConnection: upgrade, hunter2\r\n\r\n",
		"after information":    "HTTP/1.1 103 Early Hints\r\n\r\nhunter2\r\n\r\n",
		"a header of an early": "HTTP/1.1 103 Early Hints\r\nhunter2\r\n\r\n",
	} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(text))
			got := aHook(t, s.url+"/hunter2").once()
			require.NotContains(t, got.error(), "hunter2")
			require.Equal(t, got.Status == nil, got.error() != "", got.error())
			require.Len(t, s.got(), 1)
		})
	}
}
