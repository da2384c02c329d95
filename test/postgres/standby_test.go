package postgres

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAStandbyFollowsAndIsPromoted(t *testing.T) {
	c := Run(t)
	_, err := c.Connect(t, "postgres", "postgres").Exec(t.Context(), "CREATE TABLE kept AS SELECT 1")
	require.NoError(t, err)
	standby := c.RunStandby(t)
	require.Equal(t, 1, answer(t, standby))
	_, err = c.Connect(t, "postgres", "postgres").Exec(t.Context(), "INSERT INTO kept VALUES (2)")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return answer(t, standby) == 2 }, patience, 10*time.Millisecond)

	require.NoError(t, c.Kill())
	promoted := standby.Connect(t, "postgres", "postgres")
	_, err = promoted.Exec(t.Context(), "SELECT pg_promote()")
	require.NoError(t, err)
	_, err = promoted.Exec(t.Context(), "INSERT INTO kept VALUES (3)")
	require.NoError(t, err)
}
