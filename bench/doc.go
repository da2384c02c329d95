// bench prints the figures of docs/performance.md, each beside what it is compared with, all from
// one run. `make bench` runs it with a PostgreSQL tree of its own (PGROOT).
//
// The vocabulary: a contender is one way of doing a thing; a slice is a stretch of time in which it
// does it as often as it can; in a round every contender has one slice, one after the other, so that
// what disturbs the machine for a while disturbs all of them. A ratio is taken within each round. Of
// several rounds the median is printed, with the lowest and the highest. At a pace, events are published
// so many a second, whatever becomes of them, and how late each one comes to its endpoint is noted.
//
// Nothing here fails for being slow.
package main
