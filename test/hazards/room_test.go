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
			b.restrict(t, s, limit)
			refused := s.fails(t, "53000", s.publishSQL())
			require.Contains(t, refused.Message, what)
			require.NotEmpty(t, refused.Hint)

			name, _, _ := strings.Cut(limit, "=")
			b.restrict(t, s, fmt.Sprintf("%s=$(prlimit --pid %d --%[1]s --output HARD --noheadings --raw)", name, s.pid))
			s.publish(t, nil)
			require.NoError(t, b.admin.Ping(t.Context()), "the other sessions went on")
		})
	}
}

// What is looked for before the start is all that a session needs later: where that is just there, Go never ends its process.
func TestABackendWithJustEnoughRoomForGoGoesOnPublishing(t *testing.T) {
	b := setup(t)
	for name, of := range map[string]struct{ least, step int }{"data": {32 << 20, 4 << 20}, "as": {512 << 20, 64 << 20}} {
		t.Run(name, func(t *testing.T) {
			s := b.session(t)
			refused := 0
			for limit := of.least; ; limit += of.step {
				b.restrict(t, s, fmt.Sprintf("%s=%d", name, limit))
				err := s.try(s.publishSQL())
				if err == nil {
					break
				}
				requireState(t, "53000", err)
				refused++
			}
			require.Positive(t, refused)
			for range 100 {
				s.publish(t, nil)
			}
			s.do(t, "SELECT rule_nats_health_check()")
			require.NoError(t, b.admin.Ping(t.Context()), "the other sessions went on")
		})
	}
}

// restrict sets a limit of a session's process, as the server's user, and the soft one alone: it is to be raised again.
func (b *bundle) restrict(t *testing.T, s *session, limit string) {
	t.Helper()
	b.admin.do(t, fmt.Sprintf("COPY (SELECT WHERE false) TO PROGRAM 'prlimit --pid %d --%s:'", s.pid, limit))
}
