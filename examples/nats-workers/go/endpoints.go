package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// endpoint is where a webhook's events go, made ready for requests.
type endpoint struct {
	url     *url.URL
	host    string
	method  string
	header  http.Header
	timeout time.Duration
	keys    []signingKey
	// broken is set when no request can be made of the row; each try fails with it.
	broken error
	// shut says that what was taken before it was told is not to be sent. What the database
	// gave since then it gave in spite of that, or since it is open again.
	shut bool
	told time.Time
}

// endpoints keeps a copy of all endpoints. It asks for what changed since a
// snapshot of the database, never since a time: a commit that was late would
// be missed for ever.
type endpoints struct {
	db      *database
	held    *holdings
	windows *windows
	byID    atomic.Pointer[map[int32]*endpoint]

	mu    sync.Mutex // one refresh at a time
	mark  string
	round atomic.Int64 // finished refreshes
}

func newEndpoints(db *database, held *holdings, windows *windows) *endpoints {
	e := &endpoints{db: db, held: held, windows: windows}
	e.byID.Store(&map[int32]*endpoint{})
	return e
}

// run refreshes until ctx ends.
func (e *endpoints) run(ctx context.Context, every time.Duration) {
	for sleep(ctx, every) == nil {
		if err := e.refresh(ctx); err != nil && ctx.Err() == nil {
			slog.Error("cannot read the endpoints", "error", oneLine(err.Error()))
		}
	}
}

// get answers nil when the database has no such webhook.
func (e *endpoints) get(ctx context.Context, id int32) (*endpoint, error) {
	if ep := (*e.byID.Load())[id]; ep != nil {
		return ep, nil
	}
	// Registered a moment ago, after the last refresh.
	if err := e.refresh(ctx); err != nil {
		return nil, err
	}
	return (*e.byID.Load())[id], nil
}

// recalls tells by the last refresh whether an event is not to be sent any more.
func (e *endpoints) recalls(ev *event) bool {
	ep := (*e.byID.Load())[ev.webhookID]
	return ev.leaseEnd.Load() == 0 || ep != nil && ep.shut && ev.taken.Before(ep.told)
}

func (e *endpoints) refresh(ctx context.Context) error {
	before := e.round.Load()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.round.Load() >= before+2 {
		// A whole refresh has begun and ended while this one waited.
		return nil
	}
	rows, mark, err := e.db.endpoints(ctx, e.mark)
	if err != nil {
		return err
	}
	told := time.Now()
	e.mark = mark
	e.round.Add(1)
	if len(rows) == 0 {
		return nil
	}
	fresh := make(map[int32]*endpoint, len(*e.byID.Load())+len(rows))
	for id, ep := range *e.byID.Load() {
		fresh[id] = ep
	}
	gone := map[int32]bool{}
	for _, r := range rows {
		if r.deleted() {
			delete(fresh, r.webhookID)
			gone[r.webhookID] = true
			continue
		}
		ep := newEndpoint(r)
		ep.shut, ep.told = !r.enabled, told
		fresh[r.webhookID] = ep
		if err := ep.broken; err != nil {
			slog.Warn("a webhook cannot be sent", "webhook_id", r.webhookID, "webhook_name", r.name, "error", err)
		}
	}
	if len(gone) > 0 {
		e.held.recall(gone)
	}
	e.byID.Store(&fresh)
	// The requests before it may take long.
	for _, r := range rows {
		if !r.enabled {
			e.windows.recall(r.webhookID)
		}
	}
	return nil
}

var (
	errURL    = errors.New("the webhook's URL is not an absolute http or https URL")
	errMethod = errors.New("the webhook's method is not a method of HTTP")
	errHeader = errors.New("the webhook's headers are not an object of strings")
)

func newEndpoint(r endpointRow) *endpoint {
	ep := &endpoint{timeout: time.Duration(r.timeoutMS) * time.Millisecond, method: strings.ToUpper(r.method)}
	u, err := url.Parse(strings.TrimSpace(r.url))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "0" {
		// The parser's own error would show the URL, which can be a secret.
		ep.broken = errURL
		return ep
	}
	if ep.method == "" || strings.ContainsFunc(ep.method, func(c rune) bool { return c < 'A' || c > 'Z' }) {
		ep.broken = errMethod
		return ep
	}
	u.RawQuery = escaped(u.RawQuery)
	ep.url, ep.host = u, u.Host
	if ep.header, err = requestHeader(r.headers); err != nil {
		ep.broken = err
		return ep
	}
	if h := ep.header.Get("Host"); h != "" {
		ep.host = h
		ep.header.Del("Host")
	}
	if u.User != nil && ep.header.Get("Authorization") == "" {
		// What other clients do with user info. It is no part of the request line.
		ep.header.Set("Authorization", basicAuth(u.User))
	}
	ep.keys, ep.broken = signingKeys(r.secrets)
	return ep
}

func basicAuth(user *url.Userinfo) string {
	password, _ := user.Password()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user.Username(), password)
	return r.Header.Get("Authorization")
}

// escaped is a query as the URL standard has it: net/http would send the bytes of letters and blanks as they are.
func escaped(query string) string {
	var to strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"'<>`, c) >= 0 {
			fmt.Fprintf(&to, "%%%02X", c)
		} else {
			to.WriteByte(c)
		}
	}
	return to.String()
}

// framing is what a request has from its connection and its body. A webhook's
// own header must not contradict it, nor take the place of a signature.
var framing = []string{"Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Connection", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade", idHeader, timestampHeader, signatureHeader}

func requestHeader(text string) (http.Header, error) {
	h := http.Header{}
	if text != "" {
		var members map[string]any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&members); err != nil {
			return nil, errHeader
		}
		for name, value := range members {
			switch v := value.(type) {
			case string:
				h.Set(name, v)
			case json.Number:
				h.Set(name, v.String())
			case nil:
			default:
				return nil, errHeader
			}
		}
	}
	for _, name := range framing {
		h.Del(name)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", userAgent)
	}
	return h, nil
}
