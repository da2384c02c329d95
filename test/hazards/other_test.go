package hazards

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Two Go runtimes in one process are two of everything, and each must find its own. The other one
// here is careful about signals and careless about symbols: the loader sees all of them.
func TestAnotherGoLibraryLivesInTheSameBackend(t *testing.T) {
	b := setup(t)
	path := module(t, "other")
	archive := filepath.Join(t.TempDir(), "other.a")
	compile := exec.Command(goTool(), "build", "-buildmode=c-archive",
		"-ldflags=-s -w -X runtime.godebugDefault=asyncpreemptoff=1", "-o", archive, "./testdata/other")
	compile.Env = append(os.Environ(), "CGO_ENABLED=1")
	build(t, compile)
	library := filepath.Join(filepath.Dir(path), "other_go.so")
	build(t, exec.Command("cc", "-shared", "-o", library, "-Wl,--whole-archive", archive, "-Wl,--no-whole-archive",
		"-Wl,-z,nodelete", "-lpthread"))
	b.admin.do(t, "CREATE FUNCTION other(integer) RETURNS integer LANGUAGE c AS '"+path+"', 'other'")

	other := func(s *session) {
		var sum int
		require.NoError(t, s.QueryRow(t.Context(), "SELECT other(1000)").Scan(&sum), "the other library")
		require.Equal(t, 499500, sum)
	}
	orders := []struct {
		name  string
		first func(*session)
	}{
		{"loaded before ours", other},
		{"loaded after ours", func(s *session) { s.publish(t, nil) }},
	}
	for _, order := range orders {
		t.Run(order.name, func(t *testing.T) {
			s := b.session(t)
			order.first(s)
			for range 30 {
				s.publish(t, nil)
				other(s)
			}
			s.fails(t, "22012", "SELECT 1 / 0")
			handOffs(t, b.admin, s, 50, s.publishSQL())
			other(s)
		})
	}
}
