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
	var err error
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if addr := monitoring.FindStringSubmatch(p.Log()); addr != nil {
			// It lets go of who asks or answers too slowly.
			if status, body, err = get("http://" + addr[1] + path); err == nil {
				return status, body
			}
		}
		if !p.Running() || time.Now().After(deadline) {
			t.Fatalf("the worker's monitor does not answer: %v\n%s", err, p.Log())
		}
	}
}

func get(url string) (status int, body string, err error) {
	res, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}
