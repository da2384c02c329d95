package endpoint

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Request is one that arrived.
type Request struct {
	Method    string
	Path      string
	Header    http.Header
	Body      []byte
	At        time.Time
	Signature error // nil when it verified; errUnsigned and the like otherwise
	Status    int   // of the answer; 0 where it hangs
}

// ID is the webhook-id, the same in every try of one event.
func (r Request) ID() string { return r.Header.Get("webhook-id") }

// An Answer is what the endpoint does with a request.
type Answer struct {
	Status int           // 0 means 200
	Delay  time.Duration // before the answer
	Until  chan struct{} // where there is one, the answer waits until it is closed
	Hang   bool          // no answer until the client gives up or the endpoint closes
	Header http.Header
	Body   string
}

// An Endpoint listens from Start on.
type Endpoint struct {
	server *httptest.Server
	closed chan struct{}

	mu       sync.Mutex
	secrets  []string
	respond  func(Request) Answer
	requests []Request
}

// Start starts an endpoint that answers 200.
func Start() *Endpoint {
	e := &Endpoint{closed: make(chan struct{}), respond: func(Request) Answer { return Answer{} }}
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	return e
}

// Run starts one for the length of a test.
func Run(t testing.TB) *Endpoint {
	t.Helper()
	e := Start()
	t.Cleanup(e.Close)
	return e
}

// Close ends it, hanging requests too.
func (e *Endpoint) Close() {
	close(e.closed)
	e.server.CloseClientConnections()
	e.server.Close()
}

// URL is the endpoint's address; any path below it is answered.
func (e *Endpoint) URL() string { return e.server.URL }

// Addr is its host and port.
func (e *Endpoint) Addr() net.Addr { return e.server.Listener.Addr() }

// AddSecret lets requests be signed with one more secret.
func (e *Endpoint) AddSecret(secret string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secrets = append(e.secrets, secret)
}

// Respond answers the requests from now on.
func (e *Endpoint) Respond(respond func(Request) Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.respond = respond
}

// Script answers the requests from now on in this order; the last answer stays.
func (e *Endpoint) Script(answers ...Answer) {
	e.Respond(func(Request) Answer {
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		return answer
	})
}

// Requests are those that have arrived, in order.
func (e *Endpoint) Requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.requests)
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := e.take(Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: body, At: time.Now()})
	if answer.Hang {
		select {
		case <-e.closed:
		case <-r.Context().Done():
		}
		return
	}
	select {
	case <-time.After(answer.Delay):
	case <-e.closed:
		return
	}
	if answer.Until != nil {
		select {
		case <-answer.Until:
		case <-e.closed:
			return
		}
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	if answer.Status != 0 {
		w.WriteHeader(answer.Status)
	}
	_, _ = io.WriteString(w, answer.Body)
}

// take records a request and says how to answer it, one at a time.
func (e *Endpoint) take(r Request) Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.Signature = errUnsigned
	for _, secret := range e.secrets {
		if r.Signature = Verify(secret, r.Header, r.Body, r.At); r.Signature == nil {
			break
		}
	}
	answer := e.respond(r)
	if !answer.Hang {
		r.Status = cmp.Or(answer.Status, http.StatusOK)
	}
	e.requests = append(e.requests, r)
	return answer
}
