package process

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A Footprint is what one process takes up, in kB. Shared memory counts in Space alone: its pages
// are private while no other process has touched them.
type Footprint struct {
	Private float64 // clean and dirty
	Dirty   float64
	Space   float64 // of addresses
	// Promised is what the kernel counts where it promises no more than it has (vm.overcommit_memory = 2).
	Promised float64
	Threads  float64
}

// FootprintOf reads a process's.
func FootprintOf(pid int) (has Footprint, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return has, err
	}
	shared, size := false, 0.0
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 1 && len(fields[1]) == 4 && strings.Contains(fields[0], "-"):
			// The head of a mapping: addresses, then rights, the last of which is s for shared memory.
			shared = fields[1][3] == 's'
		case fields[0] == "Size:":
			size = number(fields[1])
			has.Space += size
		case shared:
		case fields[0] == "Private_Clean:":
			has.Private += number(fields[1])
		case fields[0] == "Private_Dirty:":
			has.Private += number(fields[1])
			has.Dirty += number(fields[1])
		case fields[0] == "VmFlags:" && slices.Contains(fields, "ac"):
			has.Promised += size
		}
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	has.Threads = float64(len(threads))
	return has, err
}

// number reads one that the kernel wrote.
func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}
