package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
)

// configError is returned when a variable of the environment, or what it
// points at, keeps the worker from ever working. It names the variable and
// never shows a value that may be secret.
type configError struct {
	variable string
	reason   string
}

func (e *configError) Error() string { return e.variable + ": " + e.reason }

func wrong(variable, format string, args ...any) *configError {
	return &configError{variable, fmt.Sprintf(format, args...)}
}

type config struct {
	database                *pgxpool.Config
	passwordAmongParameters bool

	natsURL  string        // empty: no NATS at all
	natsAuth []nats.Option // user, token, credentials, certificates
	stream   string
	subject  string
	group    string
	consumer string // names this process, not the JetStream consumer
	batch    int
	allow    []netip.Prefix
	proxy    *proxy // nil: none
	doStream bool
	doQueue  bool

	metricsAddr string // empty: nobody listens
	logJSON     bool
	logLevel    slog.Level
}

func readConfig(getenv func(string) string) (*config, error) {
	get := func(name, fallback string) string {
		// Not trimmed: a password may begin or end with a space.
		if v := getenv(name); strings.TrimSpace(v) != "" {
			return v
		}
		return fallback
	}
	c := &config{
		stream:   get("STREAM_NAME", "WEBHOOKS"),
		subject:  get("SUBJECT", "webhooks.>"),
		group:    get("QUEUE_GROUP", "webhook-workers"),
		consumer: get("CONSUMER_NAME", ownName()),
	}
	steps := []func(func(string, string) string) error{
		c.readSources, c.readDatabase, c.readNames, c.readBatch, c.readNetworks, c.readProxy, c.readNATS, c.readMonitoring,
	}
	for _, step := range steps {
		if err := step(get); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func ownName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

func (c *config) readSources(get func(string, string) string) error {
	for _, s := range strings.Split(get("WORKER_SOURCES", "stream,queue"), ",") {
		switch strings.TrimSpace(s) {
		case "stream":
			c.doStream = true
		case "queue":
			c.doQueue = true
		default:
			return wrong("WORKER_SOURCES", "has %q; it takes stream, queue or stream,queue", s)
		}
	}
	return nil
}

func (c *config) readDatabase(get func(string, string) string) error {
	const accepted = "postgres://user:password@host:5432/database or key=value pairs"
	text := get("DATABASE_URL", "")
	if text == "" {
		return wrong("DATABASE_URL", "is not set; it takes %s", accepted)
	}
	if ambiguous(text) {
		return wrong("DATABASE_URL", "is no connection string; in a URL @ / ? # of a name or password are written %%40 %%2F %%3F %%23")
	}
	db, err := pgxpool.ParseConfig(text)
	var file *fs.PathError
	if errors.As(err, &file) {
		return wrong("DATABASE_URL", "names a file that cannot be read: %v", file)
	}
	if err != nil {
		// The parser's message may quote a part of a password.
		return wrong("DATABASE_URL", "is no connection string; it takes %s", accepted)
	}
	c.database = db
	c.passwordAmongParameters = passwordParameter.MatchString(text)
	return nil
}

var (
	parameter         = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	passwordParameter = regexp.MustCompile(`password\s*=`)
)

// ambiguous tells whether a part of a URL's password may have been taken for its
// host, port, database or parameters, which are said when a connection fails.
func ambiguous(text string) bool {
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return false
	}
	address, query, _ := strings.Cut(rest, "?")
	server, database, _ := strings.Cut(address, "/")
	if strings.Count(server, "@") > 1 || strings.Contains(database, "@") || strings.Contains(rest, "#") {
		return true
	}
	parameters, _ := url.ParseQuery(query)
	for name := range parameters {
		if !parameter.MatchString(name) {
			return true
		}
	}
	return false
}

func (c *config) readNames(func(string, string) string) error {
	for _, v := range [][2]string{{"STREAM_NAME", c.stream}, {"QUEUE_GROUP", c.group}, {"CONSUMER_NAME", c.consumer}, {"SUBJECT", c.subject}} {
		variable, name := v[0], v[1]
		switch {
		case !utf8.ValidString(name):
			return wrong(variable, "is not UTF-8")
		case len(name) > mostOfName:
			return wrong(variable, "has %d bytes; it takes at most %d", len(name), mostOfName)
		case strings.IndexFunc(name, unprintable) >= 0:
			return wrong(variable, "is %q, which has characters that cannot be shown", name)
		case strings.TrimSpace(name) != name:
			return wrong(variable, "is %q; it takes no space at its ends", name)
		}
	}
	for _, v := range [][2]string{{"STREAM_NAME", c.stream}, {"QUEUE_GROUP", c.group}} {
		variable, name := v[0], v[1]
		if strings.ContainsAny(name, ".*>/\\") || strings.IndexFunc(name, unicode.IsSpace) >= 0 {
			return wrong(variable, "is %q; a name of NATS has no space and none of . * > / \\", name)
		}
	}
	tokens := strings.Split(c.subject, ".")
	for i, token := range tokens {
		switch {
		case token == "", strings.IndexFunc(token, unicode.IsSpace) >= 0:
			return wrong("SUBJECT", "is %q, which has an empty part or a space", c.subject)
		case token == ">" && i != len(tokens)-1:
			return wrong("SUBJECT", "is %q; > stands only at the end", c.subject)
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return wrong("SUBJECT", "is %q; * and > stand for a whole part between dots", c.subject)
		}
	}
	return nil
}

// mostOfName is NATS' limit and the database's.
const mostOfName = 255

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func (c *config) readBatch(get func(string, string) string) error {
	n, err := strconv.Atoi(strings.TrimSpace(get("BATCH_SIZE", "64")))
	if err != nil || n < 1 || n > 1000 {
		return wrong("BATCH_SIZE", "is %q; it takes a number from 1 to 1000", get("BATCH_SIZE", ""))
	}
	c.batch = n
	return nil
}

func (c *config) readNetworks(get func(string, string) string) error {
	for _, s := range strings.Split(get("WEBHOOK_ALLOW_NETWORKS", ""), ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err == nil {
			p, err = unmapped(p)
		}
		if err != nil {
			return wrong("WEBHOOK_ALLOW_NETWORKS", "has %q; it takes networks like 10.1.0.0/16,::1/128", s)
		}
		c.allow = append(c.allow, p.Masked())
	}
	return nil
}

func (c *config) readMonitoring(get func(string, string) string) error {
	if addr := strings.TrimSpace(get("METRICS_ADDR", "")); addr != "" {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return wrong("METRICS_ADDR", "is %q; it takes host:port like 127.0.0.1:9464", addr)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return wrong("METRICS_ADDR", "has the port %q; it takes a number up to 65535", port)
		}
		if host == "" {
			// Others see it only when that was asked for by address.
			host = "127.0.0.1"
		}
		c.metricsAddr = net.JoinHostPort(host, port)
	}
	switch format := strings.TrimSpace(get("LOG_FORMAT", "text")); format {
	case "text":
	case "json":
		c.logJSON = true
	default:
		return wrong("LOG_FORMAT", "is %q; it takes text or json", format)
	}
	switch level := strings.TrimSpace(get("LOG_LEVEL", "info")); level {
	case "debug":
		c.logLevel = slog.LevelDebug
	case "info":
		c.logLevel = slog.LevelInfo
	case "warn":
		c.logLevel = slog.LevelWarn
	case "error":
		c.logLevel = slog.LevelError
	default:
		return wrong("LOG_LEVEL", "is %q; it takes debug, info, warn or error", level)
	}
	return nil
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func (c *config) readNATS(get func(string, string) string) error {
	c.natsURL = get("NATS_URL", "")
	if c.natsURL == "" && c.doStream {
		c.natsURL = nats.DefaultURL
	}
	servers, others := 0, 0
	for _, s := range strings.Split(c.natsURL, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		servers++
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		// No part is shown: a password that was not escaped, or the lack of a host,
		// puts it where the scheme, the port or a path would be.
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return wrong("NATS_URL", "is no address; it takes nats://host:4222, several with commas")
		}
		if u.Port() != "" && !isPort(u.Port()) {
			return wrong("NATS_URL", "has a port that is none; it takes a number from 1 to 65535")
		}
		switch u.Scheme {
		case "nats", "tls":
			others++
		case "ws", "wss":
		default:
			return wrong("NATS_URL", "has a scheme that is none of nats, tls, ws and wss")
		}
	}
	if c.natsURL != "" && servers == 0 {
		return wrong("NATS_URL", "has no address; it takes nats://host:4222, several with commas")
	}
	if others > 0 && others < servers {
		return wrong("NATS_URL", "mixes ws and wss with others; it takes either")
	}
	add := func(o nats.Option) { c.natsAuth = append(c.natsAuth, o) }

	user, pass := get("NATS_USER", ""), get("NATS_PASS", "")
	switch {
	case user != "" && pass == "":
		return wrong("NATS_PASS", "is not set, but NATS_USER is")
	case user == "" && pass != "":
		return wrong("NATS_USER", "is not set, but NATS_PASS is")
	case user != "":
		add(nats.UserInfo(user, pass))
	}
	if token := get("NATS_TOKEN", ""); token != "" {
		if user != "" {
			return wrong("NATS_TOKEN", "cannot be used together with NATS_USER")
		}
		add(nats.Token(token))
	}
	if file := get("NATS_CREDS", ""); file != "" {
		credentials := nats.UserCredentials(file)
		var o nats.Options
		err := credentials(&o)
		if err == nil {
			_, err = o.UserJWT()
		}
		if err == nil {
			_, err = o.SignatureCB([]byte("a nonce"))
		}
		if err != nil {
			return wrong("NATS_CREDS", "holds no credentials: %s", because(err))
		}
		add(credentials)
	}
	if file := get("NATS_NKEY_SEED_FILE", ""); file != "" {
		o, err := nats.NkeyOptionFromSeed(file)
		if err != nil {
			return wrong("NATS_NKEY_SEED_FILE", "holds no nkey seed: %s", because(err))
		}
		add(o)
	}
	return c.readNATSTLS(get)
}

// because leaves out a file's name: a secret may stand where it was asked for.
func because(err error) string {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err.Error()
	}
	return err.Error()
}

func (c *config) readNATSTLS(get func(string, string) string) error {
	if file := get("NATS_CA", ""); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return wrong("NATS_CA", "cannot be read: %s", because(err))
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return wrong("NATS_CA", "%s holds no certificate in PEM form", file)
		}
		c.natsAuth = append(c.natsAuth, nats.RootCAs(file))
	}
	cert, key := get("NATS_CERT", ""), get("NATS_KEY", "")
	switch {
	case cert == "" && key == "":
		return nil
	case cert == "":
		return wrong("NATS_CERT", "is not set, but NATS_KEY is")
	case key == "":
		return wrong("NATS_KEY", "is not set, but NATS_CERT is")
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return wrong("NATS_CERT", "and NATS_KEY are no pair: %s", because(err))
	}
	c.natsAuth = append(c.natsAuth, nats.ClientCert(cert, key))
	return nil
}
