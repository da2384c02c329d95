// Package interrupt judges how soon Postgres serves a cancel or a time-out while a session publishes.
package interrupt

import (
	"slices"
	"testing"
	"time"
)

// Promised is how soon it does.
const Promised = 100 * time.Millisecond

const (
	tries = 5
	// patience is how long a machine that runs other tests meanwhile may keep each round from showing it.
	patience = time.Minute
)

// Promptly fails the test when the interrupt that try makes, and whose time it answers, is not served as promised: by the
// median of some tries, in the best of the rounds, since a machine that runs other tests meanwhile is late now and then.
func Promptly(t testing.TB, what string, try func() time.Duration) {
	t.Helper()
	var medians []time.Duration
	for began := time.Now(); len(medians) == 0 || time.Since(began) < patience; {
		var took []time.Duration
		for range tries {
			took = append(took, try())
		}
		slices.Sort(took)
		median := took[tries/2]
		t.Logf("%s was served after %v to %v, the median is %v", what, took[0], took[tries-1], median)
		if median <= Promised {
			return
		}
		medians = append(medians, median)
	}
	t.Fatalf("%s is served after %v", what, medians)
}
