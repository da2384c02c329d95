package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// callTimeout bounds one call. A Postgres that is frozen looks alive until then.
const callTimeout = 15 * time.Second

// database makes the calls of the extension's worker functions. While Postgres
// is away each call waits and tries again until its context ends, so that
// callers see either an answer or a refusal of what they asked.
type database struct {
	pool     *pgxpool.Pool
	metrics  *metrics
	consumer string
	group    string

	schema atomic.Pointer[string] // quoted; nil before it is looked up
	outage outage
	// claimRoom says that claim may be told what there is room for, since hello said so.
	claimRoom atomic.Bool
	lost      lostCalls
	namesake  namesake
}

func openDatabase(ctx context.Context, cfg *config, m *metrics) (*database, error) {
	pc := cfg.database.Copy()
	// The lanes of admit for either way to read the stream, and of report; one each for what makes way, claim, endpoints,
	// heartbeat and maintenance, and one for hello, by which a session with NATS begins.
	pc.MaxConns = 3*lanes + 6
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "webhook-worker " + cfg.consumer
	}
	// Whatever the database or the role prefers: bodies are signed and sent as they come.
	pc.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	return &database{pool: pool, metrics: m, consumer: cfg.consumer, group: cfg.group,
		namesake: namesake{instance: newCall()}}, nil
}

// errNoExtension is returned when the database has no rule_engine yet.
var errNoExtension = errors.New("the extension rule_engine is not in this database; CREATE EXTENSION rule_engine makes it")

// call runs one call until it is answered. once ends it after the first
// failure: at the start that tells a wrong configuration from an outage.
func (d *database) call(ctx context.Context, name string, once bool, f func(ctx context.Context, schema string) error) error {
	var b backoff
	for {
		start := time.Now()
		err := d.tryCall(ctx, f)
		if ctx.Err() == nil {
			d.metrics.called(name, start, err)
		}
		switch {
		case err == nil:
			d.outage.answered(name)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case once, atFault(err):
			return err
		}
		d.outage.failed(name, err)
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
}

func (d *database) tryCall(ctx context.Context, f func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	schema, err := d.findSchema(ctx)
	if err != nil {
		return err
	}
	err = f(ctx, schema)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42883" || pg.Code == "3F000") {
		// Dropped and made again in another schema, perhaps.
		d.schema.Store(nil)
	}
	return err
}

// findSchema says where the extension lies; its functions are never found
// through the search path.
func (d *database) findSchema(ctx context.Context) (string, error) {
	if s := d.schema.Load(); s != nil {
		return *s, nil
	}
	var name string
	err := d.pool.QueryRow(ctx, `SELECT n.nspname FROM pg_catalog.pg_extension e
		JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
		WHERE e.extname OPERATOR(pg_catalog.=) 'rule_engine'`).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", errNoExtension
	}
	if err != nil {
		return "", err
	}
	quoted := pgx.Identifier{name}.Sanitize()
	d.schema.Store(&quoted)
	return quoted, nil
}

// atFault tells whether the error is about the values of this very call, so
// that the same call will fail again. All else is for waiting: an outage, a
// failover, an extension that is just being updated.
func atFault(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	// Postgres always says one; what stands before it need not.
	switch pg.Code[:min(len(pg.Code), 2)] {
	case "21", "22", "23", "54", "P0": // 54: more than Postgres takes at once
		return true
	}
	return false
}

type welcome struct {
	source string
	lease  time.Duration
	settings
}

type settings struct {
	HeartbeatMS int64 `json:"heartbeat_ms"`
	PollMS      int64 `json:"poll_ms"`
	EndpointsMS int64 `json:"endpoints_ms"`
	// Streams are those that hello was asked for and that rows of the queue wait
	// for, as NATS wants them.
	Streams map[string]json.RawMessage `json:"streams"`
	// ClaimRoom says that claim may be told what there is room for.
	ClaimRoom bool   `json:"claim_room"`
	Places    places `json:"places"`
}

var capabilities = []string{"post", "publish", "v1", "v1a"}

func (d *database) hello(ctx context.Context, once bool, streams []string) (*welcome, error) {
	w := &welcome{}
	err := d.call(ctx, "hello", once, func(ctx context.Context, schema string) error {
		var leaseMS int64
		var text string
		err := d.pool.QueryRow(ctx, `SELECT source_id::text, lease_ms, settings::text FROM `+schema+
			`.rule_worker_hello($1, $2, $3, $4, $5)`,
			d.consumer, d.group, version, capabilities, streams).Scan(&w.source, &leaseMS, &text)
		if err != nil {
			return err
		}
		w.lease = time.Duration(leaseMS) * time.Millisecond
		w.settings = settings{HeartbeatMS: 5000, PollMS: 250, EndpointsMS: 1000}
		if err := json.Unmarshal([]byte(text), &w.settings); err != nil {
			return err
		}
		d.claimRoom.Store(w.ClaimRoom)
		return nil
	})
	return w, err
}

// endpointRow is an endpoint as the database tells it.
type endpointRow struct {
	webhookID int32
	name      string
	url       string
	method    string
	headers   string
	timeoutMS int64
	secrets   []string
	enabled   bool
}

// deleted tells the row of a webhook that is gone: no other is without a URL.
func (r endpointRow) deleted() bool { return r.url == "" }

// endpoints answers what changed since mark ("" for all) and the new mark.
func (d *database) endpoints(ctx context.Context, mark string) (rows []endpointRow, newMark string, err error) {
	err = d.call(ctx, "endpoints", false, func(ctx context.Context, schema string) error {
		rows, newMark = nil, mark
		var since *string
		if mark != "" {
			since = &mark
		}
		rs, err := d.pool.Query(ctx, `SELECT mark::text, webhook_id, webhook_name, url, method,
			headers::text, timeout_ms, secrets, enabled FROM `+schema+
			`.rule_worker_endpoints($1::text::pg_catalog.pg_snapshot)`, since)
		if err != nil {
			return err
		}
		defer rs.Close()
		for rs.Next() {
			var id, timeout *int32
			var name, url, method, headers *string
			var secrets []string
			var enabled *bool
			if err := rs.Scan(&newMark, &id, &name, &url, &method, &headers, &timeout, &secrets, &enabled); err != nil {
				return err
			}
			if id == nil {
				continue
			}
			rows = append(rows, endpointRow{*id, deref(name), deref(url), deref(method),
				deref(headers), int64(deref(timeout)), secrets, deref(enabled)})
		}
		return rs.Err()
	})
	return rows, newMark, err
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// claimed is a row of the queue that is leased to this process.
type claimed struct {
	queueID    int64
	action     string
	webhookID  int32
	messageID  string
	redelivery int
	try        int
	payload    string
	stream     string
	subject    string
	headers    string
}

func (d *database) claim(ctx context.Context, limit int, streams []string, rooms func() map[string]int) (rows []claimed, start time.Time, err error) {
	err = d.call(ctx, "claim", false, func(ctx context.Context, schema string) (err error) {
		call := newCall()
		defer func() {
			if err != nil {
				d.lost.add(call)
			}
		}()
		room, err := json.Marshal(rooms())
		if err != nil {
			return err
		}
		rows, start = nil, time.Now()
		what, args := `.rule_worker_claim($1, $2, $3)`, []any{d.consumer, limit, streams}
		if d.claimRoom.Load() {
			what, args = `.rule_worker_claim($1, $2, $3, $4::pg_catalog.jsonb, $5)`, append(args, string(room), call)
		}
		rs, err := d.pool.Query(ctx, `SELECT queue_id, action, webhook_id, message_id, redelivery, try,
			payload, stream, subject, headers::text FROM `+schema+what, args...)
		if err != nil {
			return err
		}
		defer rs.Close()
		for rs.Next() {
			var c claimed
			var try *int
			var payload, stream, subject, headers *string
			if err := rs.Scan(&c.queueID, &c.action, &c.webhookID, &c.messageID, &c.redelivery, &try,
				&payload, &stream, &subject, &headers); err != nil {
				return err
			}
			c.try, c.payload = deref(try), deref(payload)
			c.stream, c.subject, c.headers = deref(stream), deref(subject), deref(headers)
			rows = append(rows, c)
		}
		return rs.Err()
	})
	if err != nil {
		// A heartbeat gives them back.
		rows = nil
	}
	return rows, start, err
}

// verdict is what the database says about one message or one attempt.
type verdict struct {
	verdict string
	reason  string
	wait    time.Duration
	try     int
	start   time.Time // when the call began: a lease counts from here
	// repeated says that an earlier call about the message was not answered.
	repeated bool
}

// mostAdmitted is how many messages go in one call: of more many workers at a time
// would get but a part of what they ask for, by the server's room for locks.
const mostAdmitted = 128

func (d *database) admit(ctx context.Context, messages []message) ([]verdict, error) {
	again := false
	answers, err := verdicts(ctx, d, len(messages), "try", "admit", func() any {
		for i := range messages {
			// A lease that is found then may be the namesake's, which sends.
			messages[i].Repeated = (messages[i].Repeated || again) && !d.namesake.lives.Load()
		}
		again = true
		return messages
	})
	for i := range answers {
		answers[i].repeated = messages[i].Repeated
	}
	return answers, err
}

func (d *database) report(ctx context.Context, attempts []attempt) ([]verdict, error) {
	return verdicts(ctx, d, len(attempts), "NULL::integer", "report", func() any {
		// The moment of a try is told as its age, so that no clock but Postgres' counts.
		for i := range attempts {
			attempts[i].StartedMSAgo = time.Since(attempts[i].started).Milliseconds()
		}
		return attempts
	})
}

// verdicts asks about n members, which are made for each call: one may be repeated.
func verdicts(ctx context.Context, d *database, n int, try, call string, members func() any) ([]verdict, error) {
	var answers []verdict
	err := d.call(ctx, call, false, func(ctx context.Context, schema string) error {
		text, err := json.Marshal(members())
		if err != nil {
			return err
		}
		start := time.Now()
		rs, err := d.pool.Query(ctx, `SELECT ordinal, verdict, wait_ms, reason, `+try+` FROM `+schema+
			`.rule_worker_`+call+`($1, $2::pg_catalog.jsonb)`, d.consumer, string(text))
		if err != nil {
			return err
		}
		defer rs.Close()
		answers = make([]verdict, n)
		for rs.Next() {
			var ordinal int
			var word, reason *string
			var waitMS *int64
			var try *int
			if err := rs.Scan(&ordinal, &word, &waitMS, &reason, &try); err != nil {
				return err
			}
			if ordinal < 1 || ordinal > len(answers) {
				return fmt.Errorf("%s answered about member %d of %d", call, ordinal, len(answers))
			}
			answers[ordinal-1] = verdict{verdict: deref(word), reason: deref(reason),
				wait: time.Duration(deref(waitMS)) * time.Millisecond, try: deref(try), start: start}
		}
		return rs.Err()
	})
	return answers, err
}

// heartbeat answers which of the holds are lost.
func (d *database) heartbeat(ctx context.Context, totals []total, held holds) (lost losses, err error) {
	held.Unanswered = d.lost.all()
	held.Instance, held.HeardMS = d.namesake.instance, d.namesake.heard
	err = d.call(ctx, "heartbeat", true, func(ctx context.Context, schema string) error {
		t, err := json.Marshal(totals)
		if err != nil {
			return err
		}
		h, err := json.Marshal(held)
		if err != nil {
			return err
		}
		var text *string
		asked := time.Now()
		err = d.pool.QueryRow(ctx, `SELECT lost::text FROM `+schema+
			`.rule_worker_heartbeat($1, $2::pg_catalog.jsonb, $3::pg_catalog.jsonb)`, d.consumer, string(t), string(h)).Scan(&text)
		if err != nil {
			return err
		}
		took := time.Since(asked)
		lost = losses{}
		if text == nil {
			return nil
		}
		if err := json.Unmarshal([]byte(*text), &lost); err != nil {
			return err
		}
		if lost.NowMS > 0 {
			lost.ahead = asked.Add(took / 2).Sub(time.UnixMilli(lost.NowMS))
		}
		return nil
	})
	return lost, err
}

// close waits for a goodbye to a server that hears it.
func (d *database) close() {
	closed := make(chan struct{})
	go func() {
		d.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(time.Second):
	}
}
