package hazards

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Go runtime that cannot have a thread or memory ends its process, and that would end all sessions.
func TestABackendWithoutRoomForGoRaisesAnErrorAndTheServerGoesOn(t *testing.T) {
	b := setup(t)
	for what, limit := range map[string]string{
		"threads":       "nproc=1",
		"memory":        "data=60000000",
		"address space": "as=600000000",
	} {
		t.Run(what, func(t *testing.T) {
			s := b.session(t)
			of := fmt.Sprintf("prlimit --pid %d --", s.pid)
			restrict := func(limit string) {
				// As the server's user, and the soft limit alone: it is to be raised again.
				b.admin.do(t, "COPY (SELECT) TO PROGRAM '"+of+limit+":'")
			}
			restrict(limit)
			refused := s.fails(t, "53000", s.publishSQL())
			require.Contains(t, refused.Message, what)
			require.NotEmpty(t, refused.Hint)

			name, _, _ := strings.Cut(limit, "=")
			restrict(name + "=$(" + of + name + " --output HARD --noheadings --raw)")
			s.publish(t, nil)
			require.NoError(t, b.admin.Ping(t.Context()), "the other sessions went on")
		})
	}
}
