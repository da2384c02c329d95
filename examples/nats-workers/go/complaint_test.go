package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// linesOf answers what is logged by default meanwhile.
func linesOf(t *testing.T, f func()) []string {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	f()
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
}

func TestWhatGoesOnIsSaidOnceInHalfAMinuteWhateverItsCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c complaint
		lines := linesOf(t, func() {
			for n := range 62 {
				c.say("cannot publish", fmt.Sprint("cause ", n))
				c.say("refused", "a cause\nof two lines", "subject", "a.b")
				time.Sleep(time.Second)
			}
		})
		require.Len(t, lines, 6)
		require.Contains(t, lines[0], `msg="cannot publish: cause 0"`)
		require.Contains(t, lines[1], `msg="refused: a cause of two lines" subject=a.b`)
		require.Contains(t, lines[2], `msg="cannot publish: cause 30"`)
	})
}

func TestAnOutageOfOneCallIsSaidOnceInHalfAMinuteWhileOthersAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		lines := linesOf(t, func() {
			for range 40 {
				o.failed("claim", errors.New("no such function"))
				o.answered("endpoints")
				time.Sleep(time.Second)
			}
			o.answered("claim")
			o.answered("claim")
		})
		require.Len(t, lines, 3)
		require.Contains(t, lines[0], `msg="waiting for postgres" call=claim error="no such function"`)
		require.Contains(t, lines[1], `msg="waiting for postgres"`)
		require.Contains(t, lines[2], `msg="postgres is there"`)
	})
}
