package publish

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// Nothing listens there.
const nowhere = "@127.0.0.1:1"

func TestNoSecretReachesALogAnErrorOrARow(t *testing.T) {
	b := setup(t)
	// Postgres itself logs the statement that fails, as the user wrote it.
	exec(t, b.admin, "SET log_min_error_statement = panic")
	var said []string
	for _, url := range []string{
		"nats://user:hush-plain" + nowhere,
		"nats://127.0.0.1:31337,hush-comma" + nowhere, // two addresses, for who splits at the comma
		"nats://user:hush<angle>" + nowhere,           // no URL for Go
		"nats://hush-token" + nowhere,
		"nats://user:hush-first" + nowhere + ", nats://user:hush-second" + nowhere,
	} {
		t.Run(url, func(t *testing.T) {
			exec(t, b.admin, "UPDATE rule_webhooks SET nats_fallback = 'queue'")
			exec(t, b.admin, "SELECT rule_nats_configure(p_nats_url => $1)", url)
			answer := b.publish(t, b.admin, nil)
			require.Equal(t, false, answer["success"])
			encoded, err := json.Marshal(answer)
			require.NoError(t, err)
			said = append(said, string(encoded))
			for _, sql := range []string{"SELECT rule_nats_init()::text", "SELECT rule_nats_health_check()::text"} {
				var result string
				require.NoError(t, b.admin.QueryRow(t.Context(), sql).Scan(&result))
				said = append(said, result)
			}
			exec(t, b.admin, "UPDATE rule_webhooks SET nats_fallback = 'error'")
			_, err = b.admin.Exec(t.Context(), "SELECT rule_webhook_publish_nats($1, '{}')", b.webhook)
			said = append(said, everyField(t, err))
		})
	}
	for _, url := range []string{
		"nats://user:hush-p%zzw" + nowhere, "nats://user:hush,comma" + nowhere, "nats://user:hush/slash" + nowhere,
		"nats://user:hush-port" + nowhere + "99999", "nats://user:hush blank" + nowhere,
	} {
		_, err := b.admin.Exec(t.Context(), "SELECT rule_nats_configure(p_nats_url => $1)", url)
		said = append(said, everyField(t, err))
		_, err = b.admin.Exec(t.Context(), "UPDATE rule_nats_config SET nats_cluster_urls = ARRAY[$1]", url)
		said = append(said, everyField(t, err))
	}
	_, err := b.admin.Exec(t.Context(), "SELECT rule_webhook_secret_set($1, 'signing', 'hush')", b.webhook)
	said = append(said, everyField(t, err))
	var rows string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT string_agg(h::text, ' ') FROM rule_nats_publish_history h").Scan(&rows))
	require.NotEmpty(t, rows)
	log, err := os.ReadFile(cluster.Log)
	require.NoError(t, err)
	for _, text := range append(said, rows, string(log)) {
		require.NotContains(t, text, "hush")
		require.NotContains(t, text, ":31337", "the part before the comma")
	}
}

func TestASecretThatIsMadeHereIsInNoLogWhateverIsLogged(t *testing.T) {
	b := setup(t)
	for _, set := range []string{"LOAD 'auto_explain'", "SET auto_explain.log_min_duration = 0", "SET auto_explain.log_nested_statements = on",
		"SET auto_explain.log_verbose = on", "SET auto_explain.log_analyze = on", "SET log_statement = 'all'"} {
		exec(t, b.admin, set)
	}
	var secret string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_webhook_secret_set($1, 'made')", b.webhook).Scan(&secret))
	log, err := os.ReadFile(cluster.Log)
	require.NoError(t, err)
	require.True(t, strings.Contains(string(log), "INSERT INTO public.rule_webhook_secrets"))
	require.False(t, strings.Contains(string(log), secret))
}

// everyField is all that an error of Postgres shows.
func everyField(t *testing.T, err error) string {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	encoded, err := json.Marshal(pg)
	require.NoError(t, err)
	return string(encoded)
}
