package main

import (
	"fmt"
	"slices"
)

// figures are what several rounds gave for one thing.
type figures []float64

func (f figures) median() float64 {
	sorted := slices.Sorted(slices.Values(f))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// per is the ratio to another thing, round by round.
func (f figures) per(other figures) figures {
	ratios := make(figures, len(f))
	for i := range f {
		ratios[i] = f[i] / other[i]
	}
	return ratios
}

// show prints the median, and how far the rounds lie apart when that shows.
func (f figures) show(format string) string {
	middle, lowest, highest := fmt.Sprintf(format, f.median()), fmt.Sprintf(format, slices.Min(f)), fmt.Sprintf(format, slices.Max(f))
	if lowest == highest {
		return middle
	}
	return fmt.Sprintf("%s (%s to %s)", middle, lowest, highest)
}
