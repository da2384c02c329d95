package hazards

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
)

const (
	// patience bounds what must happen some time; where all is well nothing waits for it.
	patience = time.Minute
	// stall is when a wake-up counts as lost, which is long after a machine that stood still goes on. It lies below
	// deadlock_timeout (setup), at which a backend that waits for a lock wakes up by itself.
	stall = 20 * time.Second
	// prompt is how soon an interrupt must be served: 100 ms are promised and logged, the rest is
	// for a machine that does other things too.
	prompt = 20 * time.Second
)

var showVariants = flag.Bool("variants", false, "build the faulty variants and show each one's test failing")

func TestMain(m *testing.M) {
	flag.Parse()
	run := m.Run
	if *showVariants {
		run = runVariants
	}
	code := run()
	if err := removeBuilds(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// bundle is a cluster with the extension and a webhook that publishes to NATS.
type bundle struct {
	*postgres.Cluster
	admin   *session
	webhook int32
}

func setup(t *testing.T, opts ...postgres.Option) *bundle {
	t.Helper()
	return setupOn(t, natsserver.Run(t).URL(), opts...)
}

// setupOn sets up with a NATS server that the test has started.
func setupOn(t *testing.T, url string, opts ...postgres.Option) *bundle {
	t.Helper()
	opts = append(opts, postgres.Conf("deadlock_timeout = '5min'"))
	b := &bundle{Cluster: postgres.Run(t, opts...)}
	b.prepare(t, "postgres", url)
	b.admin = b.session(t)
	return b
}

// prepare makes the extension and the webhook in a database.
func (b *bundle) prepare(t *testing.T, database, url string) {
	t.Helper()
	admin := b.sessionIn(t, database, "postgres")
	admin.do(t, "CREATE EXTENSION rule_engine")
	// As long as a test may take: whatever ends a wait before that is Postgres.
	admin.do(t, "UPDATE rule_nats_config SET nats_url = $1, connection_timeout_ms = 60000, publish_timeout_ms = 600000", url)
	require.NoError(t, admin.QueryRow(t.Context(),
		"SELECT rule_webhook_register('orders', 'https://example.com/')").Scan(&b.webhook))
	admin.do(t, "SELECT rule_webhook_enable_nats($1, p_publish_mode => 'nats')", b.webhook)
}

// session is a backend of its own, in which Go does not run yet.
func (b *bundle) session(t *testing.T) *session {
	t.Helper()
	return b.sessionIn(t, "postgres", "postgres")
}

func (b *bundle) sessionIn(t *testing.T, database, role string) *session {
	t.Helper()
	conn := b.Connect(t, database, role)
	return &session{Conn: conn, pid: int(conn.PgConn().PID()), webhook: &b.webhook}
}

// sessionWithGo is a session that has published.
func (b *bundle) sessionWithGo(t *testing.T) *session {
	t.Helper()
	s := b.session(t)
	s.publish(t, nil)
	return s
}

type session struct {
	*pgx.Conn
	pid     int
	webhook *int32
}

// try runs statements and answers what became of them.
func (s *session) try(sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.Exec(ctx, sql, args...)
	return err
}

func (s *session) do(t *testing.T, sql string, args ...any) {
	t.Helper()
	require.NoError(t, s.try(sql, args...), sql)
}

// start begins a statement and answers where its end will be told.
func (s *session) start(sql string, args ...any) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.try(sql, args...) }()
	return done
}

// fails runs a statement that must fail with a SQLSTATE.
func (s *session) fails(t *testing.T, state, sql string, args ...any) *pgconn.PgError {
	t.Helper()
	return requireState(t, state, s.try(sql, args...))
}

func requireState(t *testing.T, state string, err error) *pgconn.PgError {
	t.Helper()
	if errors.Is(err, errStalled) {
		require.Fail(t, "not answered in time", "SQLSTATE %s was to come", state)
	}
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, state, pg.Code, pg.Message)
	return pg
}

// publishSQL is one publish without arguments, for statements that hold several.
func (s *session) publishSQL() string {
	return fmt.Sprintf(`SELECT rule_webhook_publish_nats(%d, '{"n": 1}'); `, *s.webhook)
}

// publish publishes an event under an id, or under none, which NATS must acknowledge.
func (s *session) publish(t *testing.T, id any) {
	t.Helper()
	var success bool
	var answer string
	require.NoError(t, s.publishing(id, &success, &answer))
	require.True(t, success, answer)
}

func (s *session) publishing(id any, success *bool, answer *string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.QueryRow(ctx, `SELECT (r ->> 'success')::boolean, r::text
		FROM rule_webhook_publish_nats($1, '{"n": 1}', $2) r`, *s.webhook, id).Scan(success, answer)
}

// awaits returns once the session waits for something of a kind (pg_stat_activity.wait_event_type),
// which by answers.
func (s *session) awaits(t *testing.T, by *session, kind string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var waits bool
		require.NoError(t, by.QueryRow(t.Context(), `SELECT coalesce(wait_event_type, '') = $2 AND state = 'active'
			FROM pg_stat_activity WHERE pid = $1`, s.pid, kind).Scan(&waits))
		if waits {
			return
		}
	}
	require.Failf(t, "no wait", "session %d does not wait for %s", s.pid, kind)
}

var errStalled = errors.New("stalled")

// endOf answers how a started statement ended, errStalled where it did not in time.
func endOf(done <-chan error, in time.Duration) error {
	select {
	case err := <-done:
		return err
	case <-time.After(in):
		return errStalled
	}
}
