package main

import "fmt"

// lateness is how late events were, in ms.
type lateness struct {
	sorted  figures
	missing int // have not arrived; they count as late as they are by now
}

func (l lateness) percentile(p float64) float64 { return l.sorted[int(p*float64(len(l.sorted)-1))] }

// latenessHead are the columns of what cells gives.
var latenessHead = []string{"events", "p50, ms", "p99, ms", "most, ms", "not arrived"}

func (l lateness) cells() []string {
	return []string{fmt.Sprint(len(l.sorted)), fmt.Sprintf("%.1f", l.percentile(0.5)), fmt.Sprintf("%.1f", l.percentile(0.99)),
		fmt.Sprintf("%.1f", l.percentile(1)), fmt.Sprint(l.missing)}
}
