package postgres

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// DSN connects to a database as a role, over the Unix socket.
func (c *Cluster) DSN(database, role string) string {
	return fmt.Sprintf("host=%s port=%d dbname=%s user=%s", c.Socket(), c.Port, database, role)
}

// URL is the same over loopback, in the form that programs take from their environment.
func (c *Cluster) URL(database, role string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, c.Port, database)
}

// Connect connects for the length of a test.
func (c *Cluster) Connect(t testing.TB, database, role string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DSN(database, role))
	if err != nil {
		t.Fatalf("connecting to %s as %s: %v", database, role, err)
	}
	t.Cleanup(func() {
		// A session whose backend hangs must not hold up the end of the test.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}
