package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAConsumerThatIsAboutFullDoesNotHaltTimeAndAgain(t *testing.T) {
	require.Zero(t, haltedAt(0, full-1, 7))
	require.EqualValues(t, 7, haltedAt(0, full, 7))
	require.EqualValues(t, 8, haltedAt(7, full, 8))
	require.EqualValues(t, 7, haltedAt(7, full-1, 8))
	require.EqualValues(t, 7, haltedAt(7, relieved, 8))
	require.Zero(t, haltedAt(7, relieved-1, 8))
}
