package install

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/worker"
)

func TestAWorkerServesAnOlderExtensionAndGoesOnWhileThatIsUpdated(t *testing.T) {
	for _, old := range released() {
		for _, kind := range []worker.Kind{worker.Go, worker.NodeJS} {
			t.Run(old+" and "+string(kind), func(t *testing.T) {
				nats, receiver, name := natsserver.Run(t), endpoint.Run(t), database(t)
				conn := connect(t, name)
				role := name + "_carrier"
				run(t, conn, "CREATE EXTENSION rule_engine VERSION '"+old+"'", "SELECT rule_engine_create_roles()",
					fmt.Sprintf("CREATE ROLE %s LOGIN IN ROLE rule_engine_worker", role),
					fmt.Sprintf("SELECT rule_nats_configure(p_nats_url => '%s')", nats.URL()),
					fmt.Sprintf("SELECT rule_webhook_register(name, '%s/' || name) FROM unnest('{queued,stored}'::text[]) name", receiver.URL()),
					"SELECT rule_webhook_enable_nats(webhook_id, p_publish_mode => 'nats') FROM rule_webhooks WHERE webhook_name = 'stored'",
					"UPDATE rule_webhooks SET retry_delay_ms = 50")
				answers := map[string]int{}
				receiver.Respond(func(r endpoint.Request) endpoint.Answer {
					answers[r.ID()]++
					if answers[r.ID()] == 1 {
						return endpoint.Answer{Status: 503}
					}
					return endpoint.Answer{}
				})
				w := kind.Run(t, "DATABASE_URL="+cluster.URL(name, role), "NATS_URL="+nats.URL(), "WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8")
				publish := func(id string) {
					run(t, conn, fmt.Sprintf("SELECT rule_webhook_call_unified(webhook_id, '{}', '%s-' || webhook_name) FROM rule_webhooks", id))
				}
				publish("older")
				require.Len(t, receiver.Await(4, time.Minute), 4)
				run(t, conn, "ALTER EXTENSION rule_engine UPDATE", "SELECT rule_engine_create_roles()")
				publish("newer")
				require.Len(t, receiver.Await(8, time.Minute), 8)
				require.NoError(t, w.Stop())
				require.Equal(t, []string{"4"}, rows(t, conn, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND try = 2"))
			})
		}
	}
}
