package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"rule_engine/bench/publisher"
	"rule_engine/test/natsserver"
)

// leader measures publishing to three servers and a stream with three replicas, while its leader
// changes: plain Go and then SQL, since a loop in this process would keep the other from its turn.
func (s *setup) leader(ctx context.Context, out io.Writer, measure effort) (err error) {
	three, err := natsserver.StartCluster(3)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, three.Remove()) }()
	if err := s.pointAtCluster(ctx, three); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.pointAt(ctx, s.nats.URL())) }()
	one, end, err := s.sessions(ctx, 1, "SET synchronous_commit = off")
	if err != nil {
		return err
	}
	defer end()
	plain, err := publisher.New(three.URL(), s.event())
	if err != nil {
		return err
	}
	defer plain.Close()

	quiet, long := 4*measure.slice, 10*measure.slice
	var killed *natsserver.Process
	contenders := []struct {
		name    string
		publish func() error
	}{
		{"plain Go", func() error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			return plain.Publish(ctx)
		}},
		{"SQL", func() error { return one[0].publish(ctx) }},
	}
	var rows [][]string
	for _, phase := range []struct {
		name    string
		length  time.Duration
		happens func() error
	}{
		{"nothing happens", quiet, func() error { return nil }},
		{"the leader steps down", quiet, func() error { return three.StepDown(stream) }},
		{"the leader is killed", long, func() (err error) {
			if killed, err = three.Leader(stream, nil); err == nil {
				err = killed.Kill()
			}
			return err
		}},
	} {
		for _, c := range contenders {
			progress("- " + phase.name + ", " + c.name)
			happened := make(chan error, 1)
			time.AfterFunc(measure.slice, func() { happened <- phase.happens() })
			of := fill(phase.length, c.publish)
			err := <-happened
			if killed != nil {
				err = errors.Join(err, killed.StartAgain())
				killed = nil
			}
			if err = errors.Join(err, three.Whole(stream)); err != nil {
				return err
			}
			rows = append(rows, of.row(phase.name+": "+c.name))
		}
	}
	heading(out, "While the leader of a stream changes")
	table(out, []string{"", "acked per second", "median ms", "99 % within ms", "longest call, ms", "longest time without an ack, ms", "calls without an ack"}, rows)
	fmt.Fprintf(out, "\nThree nats-servers on this machine, a stream with three replicas; it happens %v after the start; synchronous_commit is off. What SQL reports as not acknowledged is in the queue, plain Go has lost it.\n",
		measure.slice)
	_, err = s.conn.Exec(ctx, "TRUNCATE rule_webhook_queue")
	return err
}

// pointAtCluster moves all to a cluster, whose stream the extension makes.
func (s *setup) pointAtCluster(ctx context.Context, three *natsserver.Cluster) error {
	if err := s.pointAt(ctx, three.URL()); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, "UPDATE rule_nats_streams SET replicas = 3"); err != nil {
		return err
	}
	var told string
	if err := s.conn.QueryRow(ctx, "SELECT rule_nats_init()::text").Scan(&told); err != nil {
		return err
	}
	if err := three.Whole(stream); err != nil {
		return fmt.Errorf("%w: %s", err, told)
	}
	return nil
}

// A stretch is what became of one publisher in some time.
type stretch struct {
	length  time.Duration
	took    figures // ms, of each call
	acked   int
	longest time.Duration // without an ack
}

func fill(length time.Duration, publish func() error) *stretch {
	s := &stretch{}
	start := time.Now()
	last := start
	for time.Since(start) < length {
		began := time.Now()
		err := publish()
		now := time.Now()
		s.took = append(s.took, now.Sub(began).Seconds()*1000)
		if err == nil {
			s.acked++
			s.longest = max(s.longest, now.Sub(last))
			last = now
			continue
		}
		time.Sleep(time.Millisecond) // an application that goes on, not a loop that burns a core
	}
	s.length = time.Since(start)
	s.longest = max(s.longest, time.Since(last))
	return s
}

func (s *stretch) row(name string) []string {
	sorted := slices.Sorted(slices.Values(s.took))
	at := func(part float64) string { return fmt.Sprintf("%.2f", sorted[int(part*float64(len(sorted)-1))]) }
	return []string{name, fmt.Sprintf("%.0f", float64(s.acked)/s.length.Seconds()), at(0.5), at(0.99), at(1),
		fmt.Sprintf("%.0f", s.longest.Seconds()*1000), fmt.Sprint(len(s.took) - s.acked)}
}
