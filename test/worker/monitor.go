package worker

import (
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"
)

var monitoring = regexp.MustCompile(`monitoring"?,? .*?addr"?[=:]"?([0-9.:]+)`)

// Ask asks the worker's monitor, of a worker that runs with METRICS_ADDR=127.0.0.1:0.
func (p *Process) Ask(t testing.TB, path string) (status int, body string) {
	t.Helper()
	var addr []string
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if addr = monitoring.FindStringSubmatch(p.Log()); addr != nil {
			break
		}
		if !p.Running() || time.Now().After(deadline) {
			t.Fatalf("the worker has no monitor:\n%s", p.Log())
		}
	}
	res, err := http.Get("http://" + addr[1] + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
