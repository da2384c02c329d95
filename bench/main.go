package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// partsEnv names the parts to run, with commas; without it all run that are not long. `make bench BENCH_PARTS=memory`
// sets it too.
const partsEnv = "BENCH_PARTS"

// part is one part of the report.
type part struct {
	name string
	run  func(context.Context, io.Writer, effort) error
	long bool // takes minutes, and runs when it is named
}

func (s *setup) parts() []part {
	return []part{
		{name: "publish", run: s.publishing},
		{name: "cost", run: s.cost},
		{name: "sessions", run: s.publishingBySessions},
		{name: "memory", run: s.memory},
		{name: "first", run: s.firstPublish},
		{name: "deliveries", run: s.deliveries},
		{name: "workers", run: s.workers},
		{name: "neighbours", run: s.neighbours},
		{name: "backlog", run: s.backlog},
		{name: "claims", run: s.claims},
		{name: "lines", run: s.lines},
		{name: "away", run: s.away},
		{name: "storm", run: s.storm},
		{name: "leader", run: s.leader},
		{name: "views", run: s.views, long: true},
	}
}

// wantedParts reads the names of parts; none stands for all that are not long.
func wantedParts(text string) ([]string, error) {
	wanted := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	var known []string
	for _, p := range (&setup{}).parts() {
		known = append(known, p.name)
	}
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s has %q; it takes %s", partsEnv, name, strings.Join(known, ", "))
		}
	}
	return wanted, nil
}

// effort is how much is measured.
type effort struct {
	short      bool // then no part is long
	slice      time.Duration
	rounds     int
	sessions   []int         // of the table by sessions
	newcomers  int           // sessions whose first publish is timed
	backends   int           // sessions whose memory is read
	deliveries int           // events of one round
	deliverers int           // rounds of deliveries
	rows       int           // of history, and of attempts
	waiting    int           // rows in the queue that is claimed from
	claimed    int           // of them, in one round
	slow       int           // events for each worker on an endpoint that takes its time
	pace       time.Duration // for which events are published at a steady rate
	endpoints  int           // of which one hangs and ten fail
	stuck      int           // events of the one that hangs
	backlog    int           // events of one endpoint that wait when a worker starts
}

var (
	full = effort{
		slice: 1200 * time.Millisecond, rounds: 5, sessions: []int{1, 4, 16}, newcomers: 20, backends: 5,
		deliveries: 12_000, deliverers: 3, rows: 10_000_000, waiting: 200_000, claimed: 20_000,
		slow: 1600, pace: 20 * time.Second, endpoints: 1000, stuck: 100_000, backlog: 200_000,
	}
	quick = effort{
		short: true, slice: 200 * time.Millisecond, rounds: 1, sessions: []int{1, 4}, newcomers: 3, backends: 2,
		deliveries: 600, deliverers: 1, rows: 20_000, waiting: 2_000, claimed: 1_000,
		slow: 160, pace: 2 * time.Second, endpoints: 40, stuck: 2_000, backlog: 4_000,
	}
)

func main() {
	short := flag.Bool("quick", false, "only see that each part works; the figures mean nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	measure := full
	if *short {
		measure = quick
	}
	wanted, err := wantedParts(os.Getenv(partsEnv))
	if err == nil {
		err = run(ctx, os.Stdout, measure, wanted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, measure effort, wanted []string) (err error) {
	began := time.Now()
	progress("building and starting the servers")
	s, err := setUp(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if removed := s.remove(); err == nil {
			err = removed
		}
	}()
	if err := s.describe(ctx, out); err != nil {
		return err
	}
	for _, p := range s.parts() {
		if named := slices.Contains(wanted, p.name); !named && (len(wanted) > 0 || p.long && !measure.short) {
			continue
		}
		progress(p.name)
		if err := p.run(ctx, out, measure); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	fmt.Fprintf(out, "\nThe run took %.0f s.\n", time.Since(began).Seconds())
	return nil
}

func progress(what string) { fmt.Fprintln(os.Stderr, "bench:", what) }
