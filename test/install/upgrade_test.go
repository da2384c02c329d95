package install

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
	"rule_engine/test/scratch"
)

func TestPgUpgradeCarriesTheExtensionOver(t *testing.T) {
	shared := cluster
	t.Cleanup(func() { cluster = shared })
	before, after := postgres.Run(t), postgres.Run(t)
	cluster = before
	name := filled(t, "rules")
	edited(t, name, "rules")
	kept, ownSource := contents(t, name, "rules"), rows(t, connect(t, name), "SELECT * FROM rules.rule_engine_source")
	objects := sorted(catalog(t, connect(t, name)))
	require.NoError(t, before.Stop())
	require.NoError(t, after.Stop())

	folder := scratch.For(t, "upgrade")
	cmd := exec.Command(filepath.Join(before.Tree, "bin", "pg_upgrade"), "--username=postgres", "--socketdir="+after.Socket(),
		"--old-bindir="+filepath.Join(before.Tree, "bin"), "--new-bindir="+filepath.Join(before.Tree, "bin"),
		"--old-datadir="+before.Data, "--new-datadir="+after.Data)
	cmd.Dir = folder
	asServer(t, cmd, folder)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	require.NoError(t, after.StartAgain())

	cluster = after
	there := contents(t, name, "rules")
	for table, lines := range kept {
		require.Equal(t, lines, there[table], table)
	}
	require.Equal(t, objects, sorted(catalog(t, connect(t, name))))
	// It is the same database still, and what its workers have not taken from a stream is theirs.
	require.Equal(t, ownSource, rows(t, connect(t, name), "SELECT * FROM rules.rule_engine_source"))
	require.Equal(t, []string{"20"}, rows(t, connect(t, name), "SELECT count(*) FROM rules.rule_worker_claim('w', 100, '{}')"))
}

// asServer lets cmd run as the user that servers run as, who owns folder then.
func asServer(t *testing.T, cmd *exec.Cmd, folder string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	server, err := user.Lookup("postgres")
	require.NoError(t, err)
	uid, err := strconv.Atoi(server.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(server.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(folder, uid, gid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
