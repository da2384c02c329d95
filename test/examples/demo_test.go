package examples

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

// It looks itself at what it shows, and ends with an error where that is not so.
func TestTheDemoShowsWhatTheReadmeSays(t *testing.T) {
	t.Parallel()
	path, err := program.Build("demo", "test/cmd/demo")
	require.NoError(t, err)
	said, err := exec.Command(path).CombinedOutput()
	require.NoError(t, err, string(said))
	for _, shown := range []string{
		"A webhook: ", "A trigger publishes each row", "A worker starts", "What rolls back is never delivered",
		"The endpoint fails twice and recovers", "a dead letter, which is redelivered", "It is held: ",
		"A second worker takes its share", "NATS stops: ", "NATS is back", "History and health",
	} {
		require.Contains(t, string(said), shown)
	}
}
