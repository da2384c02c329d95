package traffic

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A watch sees how publishes go.
type watch struct {
	mu   sync.Mutex
	last time.Time // when a publish was last acknowledged
	all  Figures
	part Figures
}

// Figures are those of a stretch of time.
type Figures struct {
	Acked, Away, Unknown int
	// Longest is the longest that one publish took, Stall the longest time without an ack.
	Longest, Stall time.Duration
}

func (f Figures) String() string {
	return fmt.Sprintf("%d acked, %d went to the queue (%d of them unknown), longest publish %v, longest time without an ack %v",
		f.Acked, f.Away, f.Unknown, f.Longest.Round(time.Millisecond), f.Stall.Round(time.Millisecond))
}

func (f *Figures) add(took, since time.Duration, outcome map[string]any) {
	f.Longest = max(f.Longest, took)
	if outcome["success"] == true {
		f.Acked++
		f.Stall = max(f.Stall, since)
		return
	}
	f.Away++
	if outcome["unknown"] == true {
		f.Unknown++
	}
}

func (w *watch) saw(began time.Time, outcome map[string]any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last.IsZero() {
		w.last = began
	}
	now := time.Now()
	w.all.add(now.Sub(began), now.Sub(w.last), outcome)
	w.part.add(now.Sub(began), now.Sub(w.last), outcome)
	if outcome["success"] == true {
		w.last = now
	}
}

// Part gives the figures since it was last called.
func (tr *Traffic) Part() Figures {
	tr.watch.mu.Lock()
	defer tr.watch.mu.Unlock()
	part := tr.watch.part
	tr.watch.part = Figures{}
	return part
}

// Resumes waits until a publish has been acknowledged from now on.
func (tr *Traffic) Resumes(t testing.TB, in time.Duration) {
	t.Helper()
	began := time.Now()
	require.Eventually(t, func() bool {
		tr.watch.mu.Lock()
		defer tr.watch.mu.Unlock()
		return tr.watch.last.After(began)
	}, in, 20*time.Millisecond, "the sessions publish again by themselves")
}
