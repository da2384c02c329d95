package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// listenTimeout bounds one step on the listener's connection: claims wait for it.
	listenTimeout = 2 * time.Second
	// listenAgain is how long a listener that could not connect leaves it at polling.
	listenAgain = 10 * time.Second
	// mostVain is how many notifications in a row may lead to nothing before the
	// listener merely polls for once: events of a held webhook, or other workers
	// that are quicker, and each notification makes commits wait for each other.
	mostVain = 3
	// soonest is the first wait for a commit that is under way and notifies nobody.
	soonest = 4 * time.Millisecond
)

// listener says when to look for rows again. While there are none, its session
// says that it is idle, and a commit that queues an event then notifies it. It
// polls as well: not every row comes with such a commit, and a notification is
// lost with its connection.
type listener struct {
	db   *database
	poll time.Duration
	room <-chan struct{} // a claim may bring more, as one that was notified

	conn      *pgx.Conn // listens; nil: nobody wakes us
	connected chan *pgx.Conn
	trouble   complaint

	idle bool          // the session says so
	vain int           // notifications in a row that led to nothing
	wait time.Duration // for the commit under way
}

func newListener(ctx context.Context, db *database, poll time.Duration, room <-chan struct{}) *listener {
	l := &listener{db: db, poll: poll, room: room, connected: make(chan *pgx.Conn), wait: soonest}
	go l.connect(ctx, 0)
	return l
}

// next returns when it is time for another claim, after one that found so many rows.
func (l *listener) next(ctx context.Context, found int) error {
	switch {
	case found > 0:
		l.vain, l.wait = 0, soonest
		l.stir(ctx)
		return ctx.Err()
	case l.idle:
		if l.sleep(ctx) {
			l.vain++
			l.stir(ctx)
		}
		return ctx.Err()
	case l.conn == nil, l.vain >= mostVain:
		l.vain = 0
		return l.await(ctx)
	}
	channel, err := l.say(ctx, l.conn, true)
	switch {
	case err != nil:
		l.lose(ctx, err)
		return ctx.Err()
	case channel == "":
		err = sleep(ctx, l.wait)
		l.wait = min(2*l.wait, l.poll)
		return err
	}
	// The next claim sees all that was committed without a notification, and all
	// that was notified until now.
	l.idle, l.wait = true, soonest
	l.forget()
	return ctx.Err()
}

// await waits for as long as a poll's interval, for room, or for a connection where there is none.
func (l *listener) await(ctx context.Context) error {
	enough := time.NewTimer(l.poll)
	defer enough.Stop()
	select {
	case l.conn = <-l.connected:
	case <-l.room:
	case <-enough.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// sleep waits for a notification or for room, for as long as a poll's interval. It
// tells whether a notification came.
func (l *listener) sleep(ctx context.Context) bool {
	waiting, cancel := context.WithTimeout(ctx, l.poll)
	defer cancel()
	go func() {
		select {
		case <-l.room:
			cancel()
		case <-waiting.Done():
		}
	}()
	_, err := l.conn.WaitForNotification(waiting)
	if err != nil && waiting.Err() == nil {
		l.lose(ctx, err)
		return false
	}
	if err != nil {
		l.vain = 0
	}
	return err == nil
}

// stir makes commits stop notifying.
func (l *listener) stir(ctx context.Context) {
	if !l.idle {
		return
	}
	l.idle = false
	if _, err := l.say(ctx, l.conn, false); err != nil {
		l.lose(ctx, err)
	}
}

// say answers the channel to listen on, or nothing where idle cannot be said now.
func (l *listener) say(ctx context.Context, conn *pgx.Conn, idle bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	schema, err := l.db.findSchema(ctx)
	if err != nil {
		return "", err
	}
	var channel *string
	err = conn.QueryRow(ctx, "SELECT "+schema+".rule_worker_idle($1, $2)", l.db.consumer, idle).Scan(&channel)
	return deref(channel), err
}

// forget drops the notifications that have arrived.
func (l *listener) forget() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		if _, err := l.conn.WaitForNotification(ended); err != nil {
			return
		}
	}
}

// lose gives the connection up; the session's end ends what it said.
func (l *listener) lose(ctx context.Context, err error) {
	if ctx.Err() == nil {
		l.complain(err)
	}
	l.close()
	go l.connect(ctx, time.Second)
}

func (l *listener) complain(err error) {
	l.trouble.say("nobody wakes this worker, it polls", err.Error(), "poll", l.poll)
}

func (l *listener) close() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx)
	l.conn, l.idle = nil, false
}

// connect hands over a connection that listens, as soon as there is one.
func (l *listener) connect(ctx context.Context, pause time.Duration) {
	for sleep(ctx, pause) == nil {
		conn, err := l.open(ctx)
		if err == nil {
			select {
			case l.connected <- conn:
			case <-ctx.Done():
				_ = conn.Close(context.Background())
			}
			return
		}
		if ctx.Err() == nil {
			l.complain(err)
		}
		pause = listenAgain
	}
}

// errPooler is returned where listening would be another session's.
var errPooler = errors.New("there is a pooler between this worker and Postgres")

func (l *listener) open(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*listenTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.db.pool.Config().ConnConfig)
	if err != nil {
		return nil, err
	}
	if err = l.listen(ctx, conn); err != nil {
		_ = conn.Close(context.Background())
		return nil, err
	}
	return conn, nil
}

// listen makes the session one that can be woken. A pooler gives sessions from
// hand to hand: what one said and listens to would stay with somebody else.
func (l *listener) listen(ctx context.Context, conn *pgx.Conn) error {
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_backend_pid()").Scan(&pid); err != nil {
		return err
	}
	if pid != conn.PgConn().PID() {
		return errPooler
	}
	channel, err := l.say(ctx, conn, false)
	if err != nil {
		return err
	}
	if _, err = conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	// A worker whose machine is gone must not look idle for long.
	_, err = conn.Exec(ctx, "SET tcp_user_timeout = '30s'")
	return err
}
