package main

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheExitCodeOfGoTestIsAlwaysRead(t *testing.T) {
	const (
		fine   = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
		broken = `{"Action":"fail","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
	)
	for _, c := range []struct {
		name, script string
		want         tally
		detail       string
	}{
		{"all passed", `printf '%s' "$1"; exit 0`, tally{passed: 1}, ""},
		{"passed, and ended badly", `printf '%s' "$1"; echo 'go: no more disk'; exit 1`, tally{passed: 1, failed: 1}, "go: no more disk\nexit status 1"},
		{"a failed test is its reason", `printf '%s' "$2"; exit 1`, tally{failed: 1}, ""},
		{"nothing ran", `echo 'go: no such module'; exit 1`, tally{failed: 1}, "go: no such module\nexit status 1"},
		{"no events", `echo '{"Action": 7}'; yes '{}'`, tally{failed: 1}, "json: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			r := &runner{ctx: t.Context(), out: &out, results: results{passed: map[string]bool{}}}
			r.goTest("suite", exec.CommandContext(t.Context(), "sh", "-c", c.script, "sh", fine, broken))
			require.Equal(t, c.want, count(r.results.outcomes))
			require.Contains(t, out.String(), c.detail)
		})
	}
}
