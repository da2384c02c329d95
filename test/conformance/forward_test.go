package conformance

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"rule_engine/test/system"
)

// A forward is a forward proxy. It connects those who know its password to what they ask for, unless a
// test has it answer otherwise.
type forward struct {
	*server
	addr    string
	close   func()
	answers sync.Map // host:port: an answerer
}

const proxyPassword = "hunter2@/"

var proxyCredentials = "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+proxyPassword))

func openForward() (*forward, error) {
	l, err := net.Listen("tcp", "127.1.0.2:0")
	if err != nil {
		return nil, err
	}
	f := &forward{server: &server{}, addr: l.Addr().String()}
	f.run(func(end func()) { f.close = end }, l, f.answer)
	return f, nil
}

func (f *forward) answer(c net.Conn, r request) bool {
	switch answer, told := f.answers.Load(r.RequestURI); {
	case r.Header.Get("Proxy-Authorization") != proxyCredentials:
		return says("HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")(c, r)
	case r.Method != "CONNECT":
		return says("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")(c, r)
	case told:
		return answer.(answerer)(c, r)
	}
	return connects(r.RequestURI)(c, r)
}

const connected = "HTTP/1.1 200 Connection established\r\n\r\n"

// connects lets the client and an address talk until either ends.
func connects(address string) answerer { return greets(connected, address) }

// greets is connects, in words of its own.
func greets(words, address string) answerer {
	return func(c net.Conn, r request) bool {
		to, err := net.Dial("tcp", address)
		if err != nil {
			return says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")(c, r)
		}
		_, _ = io.WriteString(c, words)
		go func() {
			defer to.Close()
			_, _ = io.Copy(to, c)
		}()
		_, _ = io.Copy(c, to)
		return false
	}
}

var targets atomic.Int32

// aTarget is a name that nobody knows but the proxy, which answers so when it is asked for its port.
func (f *forward) aTarget(port string, answer answerer) (name string) {
	name = fmt.Sprintf("target-%d.example", targets.Add(1))
	f.answers.Store(name+":"+port, answer)
	return name
}

// askedFor are the requests for what has this in its host and port.
func (f *forward) askedFor(part string) (those []request) {
	for _, r := range f.got() {
		if strings.Contains(r.RequestURI, part) {
			those = append(those, r)
		}
	}
	return those
}

const proxiedDatabase = "proxied"

// openProxied makes the other worker's database, a copy that nobody may be connected to the original of.
func openProxied(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, shared.Postgres.DSN("postgres", system.Administrator))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+proxiedDatabase+" TEMPLATE "+system.Database); err != nil {
		return err
	}
	if err := shared.proxied.open(ctx, proxiedDatabase); err != nil {
		return err
	}
	_, err = shared.proxied.conn.Exec(ctx, "SELECT rule_engine_source_renew()")
	return err
}

// proxiedEnvironment is that of the worker that goes through the proxy, which is inside. The environment's proxies,
// and what goes around them, are nothing to it.
func proxiedEnvironment() []string {
	return append(environment(),
		"DATABASE_URL="+shared.Postgres.URL(proxiedDatabase, system.Carrier), "WORKER_SOURCES=queue",
		"WEBHOOK_PROXY=http://u:"+strings.NewReplacer("@", "%40", "/", "%2F").Replace(proxyPassword)+"@"+shared.forward.addr,
		"WEBHOOK_ALLOW_NETWORKS=127.0.3.0/24", "NO_PROXY=*", "no_proxy=*")
}
