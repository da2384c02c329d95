package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// proxy is the forward proxy that the operator chose for all that goes to endpoints.
type proxy struct {
	address string // host:port
	header  http.Header
}

func (c *config) readProxy(get func(string, string) string) error {
	text := strings.TrimSpace(get("WEBHOOK_PROXY", ""))
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() != "" && !isPort(u.Port()) ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		// No part is shown: what was not escaped of a password is somewhere in it.
		return wrong("WEBHOOK_PROXY", "is no address of an http proxy; it takes http://user:password@host:3128, "+
			"where @ / ? # of a name or password are written %%40 %%2F %%3F %%23")
	}
	c.proxy = &proxy{
		address: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")),
		header:  http.Header{"User-Agent": {userAgent}},
	}
	if u.User != nil {
		c.proxy.header.Set("Proxy-Authorization", basicAuth(u.User))
	}
	return nil
}

// tunnels makes connections to endpoints through the proxy, to those of http as well. A proxy that gets the
// request itself (net/http does that for http) reads it, may change or repeat it, and answers in the endpoint's
// place: its own 403 would count as the endpoint's. Of CONNECT what it says is its own and the rest is not.
type tunnels struct {
	proxy *proxy
	guard guard
	// Where the proxy lies is the operator's choice, so nothing is refused here.
	net.Dialer
}

func (t *tunnels) DialContext(try context.Context, network, endpoint string) (net.Conn, error) {
	if err := t.guard.unresolved(endpoint); err != nil {
		return nil, err
	}
	c, err := t.Dialer.DialContext(try, network, t.proxy.address)
	if err != nil {
		return nil, fmt.Errorf("the proxy: %w", err)
	}
	stop := context.AfterFunc(try, func() { c.Close() })
	if err = t.proxy.connect(c, endpoint); !stop() {
		err = try.Err()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect shows nothing of an answer but its status: a proxy may say again what it was told, the password too.
func (p *proxy) connect(c net.Conn, endpoint string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: endpoint}, Host: endpoint, Header: p.header}
	if err := req.Write(c); err != nil {
		return fmt.Errorf("the proxy: %w", err)
	}
	in := bufio.NewReader(io.LimitReader(c, mostOfHeader))
	switch res, err := http.ReadResponse(in, req); {
	case err != nil:
		return errors.New("the proxy's answer to CONNECT cannot be read")
	case res.StatusCode < 200 || res.StatusCode > 299:
		return fmt.Errorf("the proxy refuses to connect: status %d", res.StatusCode)
	case in.Buffered() > 0:
		return errors.New("the proxy says more than it was asked")
	}
	return nil
}
