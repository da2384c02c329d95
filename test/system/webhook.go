package system

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Register registers a webhook to the endpoint (its path is the name), with a secret that the
// endpoint learns, in a publish mode.
func (s *System) Register(ctx context.Context, admin *pgx.Conn, name, mode string) (id int32, err error) {
	var secret string
	err = admin.QueryRow(ctx, "SELECT rule_webhook_register($1, $2)", name, s.Endpoint.URL()+"/"+name).Scan(&id)
	if err == nil {
		err = admin.QueryRow(ctx, "SELECT rule_webhook_secret_set($1, 'signing')", id).Scan(&secret)
	}
	if err == nil && mode != "queue" {
		_, err = admin.Exec(ctx, "SELECT rule_webhook_enable_nats($1, p_publish_mode => $2)", id, mode)
	}
	if err != nil {
		return 0, fmt.Errorf("registering %s: %w", name, err)
	}
	s.Endpoint.AddSecret(secret)
	return id, nil
}
