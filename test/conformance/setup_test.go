// Package conformance says what a worker does on the wire, to any worker: a program that its environment
// configures. Its tests share one system with one worker, and another that goes through a proxy and has a database
// of its own; each test has a webhook of its own.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/certificate"
	"rule_engine/test/resolver"
	"rule_engine/test/scratch"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// patience is far longer than anything takes here, and bounds a test that waits in vain.
const patience = time.Minute

// shared is what the tests share, for as long as the package's tests run.
var shared struct {
	*system.System
	authority *certificate.Authority // whom the worker trusts
	inside    *inside
	worker    *worker.Process
	names     *resolver.Resolver // nil where there can be none
	nameless  error              // why

	admin session

	// Through the forward proxy, from the database proxied.
	forward *forward
	proxied session
	through *worker.Process
}

// A session is a connection that tests share, to the database of one worker.
type session struct {
	mu    sync.Mutex
	conn  *pgx.Conn
	hooks int
}

func (s *session) open(ctx context.Context, database string) (err error) {
	s.conn, err = pgx.Connect(ctx, shared.Postgres.DSN(database, system.Administrator))
	return err
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := scratch.Make("conformance")
	if err != nil {
		return 0, err
	}
	defer folder.Remove()
	if shared.authority, err = certificate.NewAuthority(folder.Path); err != nil {
		return 0, err
	}
	var front []string
	if shared.names, shared.nameless = resolver.Start(folder.Path); shared.nameless == nil {
		defer shared.names.Close()
		front = shared.names.Front()
	}
	if shared.inside, err = openInside(); err != nil {
		return 0, err
	}
	defer shared.inside.close()
	ctx := context.Background()
	if shared.System, err = system.Start(ctx); err != nil {
		return 0, err
	}
	defer shared.Close()
	if err := openProxied(ctx); err != nil {
		return 0, err
	}
	defer shared.proxied.conn.Close(ctx)
	if err := shared.admin.open(ctx, system.Database); err != nil {
		return 0, err
	}
	defer shared.admin.conn.Close(ctx)
	if shared.forward, err = openForward(); err != nil {
		return 0, err
	}
	defer shared.forward.close()
	if shared.through, err = worker.StartBehind(front, shared.WorkerEnv(proxiedEnvironment()...)...); err != nil {
		return 0, err
	}
	defer shared.through.Remove()
	w, err := worker.StartBehind(front, shared.WorkerEnv(environment()...)...)
	if err != nil {
		return 0, err
	}
	defer w.Remove()
	shared.worker = w
	code = m.Run()
	if err = errors.Join(w.Stop(), shared.through.Stop()); err != nil || code != 0 {
		fmt.Fprintln(os.Stderr, "the worker's log:\n"+w.Log()+"\nand of the one that goes through a proxy:\n"+shared.through.Log())
	}
	return code, err
}

// environment is the worker's beside its servers. 127.0.0.0/16 stands for the world; what lies in
// 127.1.0.0/16 is inside.
func environment() []string {
	env := []string{
		"WEBHOOK_ALLOW_NETWORKS=127.0.0.0/16",
		"BATCH_SIZE=256",
		// Each language has a variable of its own for further authorities.
		"SSL_CERT_FILE=" + shared.authority.File, "NODE_EXTRA_CA_CERTS=" + shared.authority.File,
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		proxy := "=http://" + shared.inside.addr
		env = append(env, name+proxy, strings.ToLower(name)+proxy)
	}
	return append(env, "NODE_USE_ENV_PROXY=1")
}

// A hook is a webhook of one test.
type hook struct {
	t  *testing.T
	in *session
	id int32
}

// Where a test is about an end by itself, a try's time is far longer than a worker may stand still, and the end comes long
// before it: long leaves room for both. Where it is about the deadline, short is long enough to get a request out.
const (
	long  = 4 * soon
	soon  = 15000.0 // ms
	short = 2000.0
)

var (
	aLongTimeout  = fmt.Sprintf("timeout_ms = %d", int(long))
	aShortTimeout = fmt.Sprintf("timeout_ms = %d", int(short))
	tooLate       = fmt.Sprintf("no whole answer within %d ms", int(short))
)

// aHook registers a webhook that waits for ten minutes before it tries again; set changes its columns.
// Workers see all of it or nothing.
func aHook(t *testing.T, url string, set ...string) hook {
	t.Helper()
	return shared.admin.hook(t, url, set...)
}

func (s *session) hook(t *testing.T, url string, set ...string) hook {
	t.Helper()
	return s.makes(t, "SELECT rule_webhook_register($1, $2)", url, set...)
}

// restored has a webhook as a dump brings it, with a URL that is no longer taken.
func (s *session) restored(t *testing.T, url string) hook {
	t.Helper()
	return s.makes(t, `INSERT INTO rule_webhooks (webhook_name, webhook_url, created_at)
		VALUES ($1, $2, '2020-01-01') RETURNING webhook_id`, url)
}

func (s *session) makes(t *testing.T, how, url string, set ...string) hook {
	t.Helper()
	h := hook{t: t, in: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := pgx.BeginFunc(t.Context(), s.conn, func(tx pgx.Tx) error {
		s.hooks++
		name := fmt.Sprintf("%d %s", s.hooks, t.Name())
		if err := tx.QueryRow(t.Context(), how, name, url).Scan(&h.id); err != nil {
			return err
		}
		for _, columns := range append([]string{"retry_delay_ms = 600000"}, set...) {
			if _, err := tx.Exec(t.Context(), "UPDATE rule_webhooks SET "+columns+" WHERE webhook_id = $1", h.id); err != nil {
				return fmt.Errorf("%s: %w", columns, err)
			}
		}
		return nil
	})
	require.NoError(t, err)
	return h
}

const aBody = `{"n": 1}`

// publish publishes an event.
func (h hook) publish(messageID, body string) {
	h.t.Helper()
	h.in.ask(h.t, nil, "SELECT rule_webhook_call_unified($1, $2::text::jsonb, $3)", h.id, body, messageID)
}

// An attempt is what the database keeps of a try.
type attempt struct {
	MessageID string
	Try       int
	Status    *int
	Outcome   string
	Error     *string
	Answer    *string
	StartedAt time.Time
	Duration  float64 // ms
}

func (a attempt) error() string {
	if a.Error == nil {
		return ""
	}
	return *a.Error
}

// tries are the webhook's, once there are so many.
func (h hook) tries(n int) []attempt {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got := h.attempts()
		if len(got) >= n {
			require.Len(h.t, got, n)
			return got
		}
		require.True(h.t, time.Now().Before(deadline), "%d tries, not %d", len(got), n)
	}
}

func (h hook) attempts() []attempt {
	h.t.Helper()
	h.in.mu.Lock()
	defer h.in.mu.Unlock()
	rows, err := h.in.conn.Query(h.t.Context(), `SELECT message_id, try, status, outcome, error_message AS error, answer,
		started_at, coalesce(duration_ms, 0)::double precision AS duration
		FROM rule_webhook_attempts WHERE webhook_id = $1 ORDER BY attempt_id`, h.id)
	require.NoError(h.t, err)
	got, err := pgx.CollectRows(rows, pgx.RowToStructByName[attempt])
	require.NoError(h.t, err)
	return got
}

// once publishes one event and is the one try that follows.
func (h hook) once() attempt {
	h.t.Helper()
	h.publish("event", aBody)
	return h.tries(1)[0]
}

// ask runs a statement as the administrator and reads its one value, if asked to.
func ask(t *testing.T, into any, sql string, args ...any) {
	t.Helper()
	shared.admin.ask(t, into, sql, args...)
}

func (s *session) ask(t *testing.T, into any, sql string, args ...any) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if into == nil {
		_, err := s.conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err, sql)
		return
	}
	require.NoError(t, s.conn.QueryRow(t.Context(), sql, args...).Scan(into), sql)
}
