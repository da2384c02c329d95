package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
)

const (
	database  = "bench"
	stream    = "WEBHOOKS"
	subject   = "webhooks.bench"
	hookName  = "bench"
	payloadOf = 256 // bytes of the event in the stream
)

// Tests turn durability off. Here a commit costs what it costs elsewhere.
var durable = []string{
	"fsync = on",
	"full_page_writes = on",
	"shared_buffers = 128MB",
	"max_wal_size = 1GB",
}

// setup is everything that runs for the whole bench.
type setup struct {
	cluster  *postgres.Cluster
	nats     *natsserver.Process
	target   *target
	database string
	stream   string
	subject  string

	conn   *pgx.Conn // for what is not measured
	client *nats.Conn
	js     jetstream.JetStream

	webhook int32
	source  string
	payload string
}

func setUp(ctx context.Context) (s *setup, err error) {
	s = &setup{database: database, stream: stream, subject: subject}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	if s.target, err = startTarget(); err != nil {
		return s, err
	}
	if s.nats, err = natsserver.StartProcess(); err != nil {
		return s, err
	}
	if s.client, err = nats.Connect(s.nats.URL()); err != nil {
		return s, err
	}
	if s.js, err = jetstream.New(s.client); err != nil {
		return s, err
	}
	if s.cluster, err = postgres.Start(postgres.Conf(durable...)); err != nil {
		return s, err
	}
	if err = s.createDatabase(ctx); err != nil {
		return s, err
	}
	if _, err = s.conn.Exec(ctx, "CREATE ROLE bench_worker LOGIN IN ROLE rule_engine_worker"); err != nil {
		return s, err
	}
	return s, s.createWebhook(ctx)
}

// beside is the same in a database of its own, with a stream of its own and the same servers; drop ends it.
func (s *setup) beside(ctx context.Context, name string) (of *setup, drop func() error, err error) {
	of = &setup{cluster: s.cluster, nats: s.nats, target: s.target, client: s.client, js: s.js,
		database: name, stream: strings.ToUpper(name), subject: name + ".bench"}
	drop = func() error {
		if of.conn != nil {
			_ = of.conn.Close(ctx)
		}
		_, err := s.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name)
		if gone := s.js.DeleteStream(ctx, of.stream); !errors.Is(gone, jetstream.ErrStreamNotFound) {
			err = errors.Join(err, gone)
		}
		return err
	}
	if err = of.createDatabase(ctx); err == nil {
		err = of.createWebhook(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return of, drop, nil
}

func (s *setup) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.cluster.DSN("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+s.database); err != nil {
		return err
	}
	if s.conn, err = s.connect(ctx); err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE EXTENSION rule_engine",
		"SELECT rule_engine_create_roles()",
	} {
		if _, err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func (s *setup) createWebhook(ctx context.Context) error {
	prefix, _, _ := strings.Cut(s.subject, ".")
	if _, err := s.conn.Exec(ctx, "SELECT rule_nats_configure(p_nats_url => $1, p_stream_name => $2, p_subject_prefix => $3)",
		s.nats.URL(), s.stream, prefix); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, "UPDATE rule_nats_streams SET stream_name = $1, subjects = ARRAY[$2]", s.stream, s.subjects()); err != nil {
		return err
	}
	// The stream as the extension makes it: a work queue in a file, one replica.
	var made bool
	var told string
	if err := s.conn.QueryRow(ctx, "SELECT (r->>'success')::bool, r::text FROM rule_nats_init() r").Scan(&made, &told); err != nil {
		return err
	}
	if !made {
		return fmt.Errorf("rule_nats_init: %s", told)
	}
	err := s.conn.QueryRow(ctx, "SELECT rule_webhook_register($1, $2)", hookName, s.target.url).Scan(&s.webhook)
	if err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, "SELECT rule_webhook_enable_nats($1, $2, 'nats')", s.webhook, s.subject); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, "SELECT rule_webhook_secret_set($1, 'bench')", s.webhook); err != nil {
		return err
	}
	// As jsonb prints it, so that both sides send the same bytes.
	err = s.conn.QueryRow(ctx, `SELECT jsonb_build_object('id', 4711, 'kind', 'order.created', 'note', repeat('x', $1::int
			- length(jsonb_build_object('id', 4711, 'kind', 'order.created', 'note', '')::text)))::text`,
		payloadOf).Scan(&s.payload)
	if err != nil {
		return err
	}
	return s.conn.QueryRow(ctx, "SELECT source_id::text FROM rule_engine_source").Scan(&s.source)
}

// subjects are those of the stream.
func (s *setup) subjects() string {
	prefix, _, _ := strings.Cut(s.subject, ".")
	return prefix + ".>"
}

// connect gives a session, in a backend of its own.
func (s *setup) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.cluster.DSN(s.database, "postgres"))
}

// empty takes all messages out of the stream, so that each slice finds it alike.
func (s *setup) empty(ctx context.Context) error {
	held, err := s.js.Stream(ctx, s.stream)
	if err != nil {
		return err
	}
	return held.Purge(ctx)
}

// remove ends and removes everything, as far as it had come to be.
func (s *setup) remove() error {
	var failed []error
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.cluster != nil {
		failed = append(failed, s.cluster.Remove())
	}
	if s.nats != nil {
		failed = append(failed, s.nats.Remove())
	}
	if s.target != nil {
		s.target.close()
	}
	return errors.Join(failed...)
}
