package nats

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Config is a row of rule_nats_config with its rows of rule_nats_streams.
type Config struct {
	Name string
	// URLs are tried in this order.
	URLs              []string
	AuthType          string
	Token             string
	User, Password    string
	CredentialsFile   string
	NKeySeed          string
	TLS               bool
	CertFile, KeyFile string
	CAFile            string
	ConnectionTimeout time.Duration
	PublishTimeout    time.Duration
	ReconnectDelay    time.Duration
	// MaxReconnects below zero means no end.
	MaxReconnects  int
	MaxConnections int
	// IdleTimeout of zero means never.
	IdleTimeout time.Duration
	JetStream   bool
	Streams     []Stream
}

// Stream is an enabled row of rule_nats_streams.
type Stream struct {
	Name            string
	Subjects        []string
	Description     string
	Storage         string
	MaxMessages     int64
	MaxBytes        int64
	MaxAge          time.Duration
	Retention       string
	Discard         string
	Replicas        int
	DuplicateWindow time.Duration
}

// leastReconnectDelay keeps a backend from spinning while NATS is away.
const leastReconnectDelay = 100 * time.Millisecond

// options are the client's options for a connection named name. The values
// that differ from the client's defaults are those that keep its promises to
// us: no message is buffered while disconnected and sent later, no write to a
// frozen peer lasts longer than a publish may.
func (c *Config) options(name string, link *link) ([]nats.Option, error) {
	delay := max(c.ReconnectDelay, leastReconnectDelay)
	opts := []nats.Option{
		nats.Name(name),
		nats.DontRandomize(),
		nats.Timeout(c.ConnectionTimeout),
		nats.ReconnectBufSize(-1),
		nats.FlusherTimeout(c.PublishTimeout / 2),
		nats.ReconnectOnFlusherError(),
		nats.MaxReconnects(c.MaxReconnects),
		nats.CustomReconnectDelay(func(round int) time.Duration { return link.pause(delay, round) }),
		nats.PingInterval(10 * time.Second),
		nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(link.onError),
		nats.DisconnectErrHandler(link.onDisconnect),
		nats.ReconnectErrHandler(link.onReconnectError),
		nats.ReconnectHandler(link.onReconnect),
		nats.ClosedHandler(link.onClosed),
	}
	switch c.AuthType {
	case "none":
	case "token":
		opts = append(opts, nats.Token(c.Token))
	case "userpass":
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	case "credentials":
		if err := checkCredentials(c.CredentialsFile); err != nil {
			return nil, err
		}
		// The client reads it again at each reconnect.
		opts = append(opts, nats.UserCredentials(c.CredentialsFile))
	case "nkey":
		key, err := nkeys.FromSeed([]byte(c.NKeySeed))
		if err != nil {
			return nil, errors.New("auth_nkey_seed is not a seed of an nkey")
		}
		public, err := key.PublicKey()
		if err != nil {
			return nil, errors.New("auth_nkey_seed is not a seed of an nkey")
		}
		opts = append(opts, nats.Nkey(public, key.Sign))
	default:
		return nil, fmt.Errorf("unknown auth_type %q", c.AuthType)
	}
	if c.TLS || c.tlsURL() {
		config, err := c.tlsConfig()
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Secure(config))
	}
	return opts, nil
}

// redact is a URL as it may be shown: without user info.
func redact(url string) string {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		scheme, rest = "", url
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "***@" + rest[at+1:]
	}
	if !found {
		return rest
	}
	return scheme + "://" + rest
}

// ShownURLs are the configuration's URLs as they may be shown. A comma can be
// part of a password, so where one URL has user info nothing before the last
// '@' is shown.
func (c *Config) ShownURLs() string {
	return redact(strings.Join(c.URLs, ","))
}
