package main

import (
	"context"
	"crypto/tls"
	"net"
)

// dialer makes the connections of tries, each of which ends with its try while it is being made. net/http
// lets it go on for other requests to use, which is for ever where the endpoint stalls in the handshake.
type dialer struct {
	reach func(try context.Context, network, address string) (net.Conn, error)
}

// ofTry is what a try's context is kept under: net/http hands a dialer the values of a request's context, and
// not its end.
type ofTry struct{}

func dialling(try context.Context) context.Context { return context.WithValue(try, ofTry{}, try) }

func tryOf(ctx context.Context) context.Context { return ctx.Value(ofTry{}).(context.Context) }

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.reach(tryOf(ctx), network, address)
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	try := tryOf(ctx)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	plain, err := d.reach(try, network, address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(plain, &tls.Config{ServerName: host, NextProtos: []string{"http/1.1"}})
	if err := c.HandshakeContext(try); err != nil {
		plain.Close()
		return nil, err
	}
	return c, nil
}
