package backends

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// A Go runtime that cannot have a thread or memory ends its process, and that would end all sessions.
func TestABackendThatHasNoRoomForGoIsAnErrorAndTheServerGoesOn(t *testing.T) {
	for what, limit := range map[string]string{
		"threads":       "nproc=1",
		"memory":        "data=60000000",
		"address space": "as=600000000",
	} {
		t.Run(what, func(t *testing.T) {
			b := setup(t)
			conn := b.sessions(t, 1)[0]
			publish := func() error {
				_, err := b.publish(t.Context(), conn, what)
				return err
			}
			of := fmt.Sprintf("prlimit --pid %d --", conn.PgConn().PID())
			restrict := func(limit string) {
				// As the server's user, and the soft limit alone: it is to be raised again.
				_, err := b.admin.Exec(t.Context(), "COPY (SELECT) TO PROGRAM '"+of+limit+":'")
				require.NoError(t, err)
			}
			name, _, _ := strings.Cut(limit, "=")
			restrict(limit)
			var pg *pgconn.PgError
			require.ErrorAs(t, publish(), &pg)
			require.Equal(t, "53000", pg.Code)
			require.Contains(t, pg.Message, what)
			require.NotEmpty(t, pg.Hint)

			restrict(name + "=$(" + of + name + " --output HARD --noheadings --raw)")
			require.NoError(t, publish(), "it can be tried again")
			require.NoError(t, b.admin.Ping(t.Context()), "the other sessions went on")
		})
	}
}
