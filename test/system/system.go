// Package system puts the product together as its users do: a database with the extension, a
// NATS server, an endpoint, and two logins that hold one role each.
package system

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
	"rule_engine/test/worker"
)

const (
	Database = "app"
	// Application may publish and Carrier may carry, and neither may do more: they are members of
	// rule_engine_publisher and of rule_engine_worker.
	Application = "application"
	Carrier     = "carrier"
	// Administrator is the superuser, who registers webhooks.
	Administrator = "postgres"

	Stream = "WEBHOOKS"
	Group  = "webhook-workers"
)

// A System runs from Start to Close.
type System struct {
	Postgres *postgres.Cluster
	// NATS is nil where the caller has servers of its own.
	NATS     *natsserver.Server
	Endpoint *endpoint.Endpoint

	// natsURL lists the servers that the configuration and the workers name.
	natsURL string
}

// NATSURL is where NATS is for all that need it.
func (s *System) NATSURL() string { return s.natsURL }

// Start starts all of it but a worker.
func Start(ctx context.Context, opts ...postgres.Option) (*System, error) {
	nats, err := natsserver.Start()
	if err != nil {
		return nil, err
	}
	return start(ctx, &System{NATS: nats, natsURL: nats.URL()}, opts)
}

func start(ctx context.Context, s *System, opts []postgres.Option) (_ *System, err error) {
	s.Endpoint = endpoint.Start()
	alike := postgres.Prepared("system", func(c *postgres.Cluster) error { return prepare(ctx, c) })
	if s.Postgres, err = postgres.Start(append(opts, alike)...); err == nil {
		err = run(ctx, s.Postgres, Database,
			// What was prepared once has one source id for all.
			"SELECT rule_engine_source_renew()",
			fmt.Sprintf("SELECT rule_nats_configure(p_nats_url => '%s')", s.natsURL))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare makes what all systems have alike.
func prepare(ctx context.Context, c *postgres.Cluster) error {
	if err := run(ctx, c, "postgres", "CREATE DATABASE "+Database); err != nil {
		return err
	}
	return run(ctx, c, Database,
		"CREATE EXTENSION rule_engine",
		"SELECT rule_engine_create_roles()",
		"CREATE ROLE "+Application+" LOGIN IN ROLE rule_engine_publisher",
		"CREATE ROLE "+Carrier+" LOGIN IN ROLE rule_engine_worker",
	)
}

func run(ctx context.Context, c *postgres.Cluster, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, c.DSN(database, Administrator))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// WorkerEnv is the environment of a worker here; entries of further win.
func (s *System) WorkerEnv(further ...string) []string {
	return append([]string{
		"DATABASE_URL=" + s.Postgres.URL(Database, Carrier),
		"NATS_URL=" + s.natsURL,
		"WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8",
	}, further...)
}

// StartWorker starts a worker; the caller ends it.
func (s *System) StartWorker(env ...string) (*worker.Process, error) {
	return worker.Start(s.WorkerEnv(env...)...)
}

// Close ends and removes all of it.
func (s *System) Close() error {
	s.Endpoint.Close()
	var errs []error
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Remove())
	}
	if s.NATS != nil {
		errs = append(errs, s.NATS.Remove())
	}
	return errors.Join(errs...)
}
