package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"rule_engine/test/worker"
)

// starting is how a worker of this kind is started, with so many requests at once.
func (s *setup) starting(kind worker.Kind) func() (running, error) {
	return func() (running, error) { return kind.Start(s.workerEnv(concurrency)...) }
}

func (s *setup) workerEnv(atOnce int) []string {
	return []string{
		"DATABASE_URL=" + s.cluster.URL(s.database, "bench_worker"),
		"NATS_URL=" + s.nats.URL(),
		"STREAM_NAME=" + s.stream,
		"SUBJECT=" + s.subjects(),
		"QUEUE_GROUP=" + group,
		"BATCH_SIZE=" + strconv.Itoa(atOnce),
		"WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8",
	}
}

// startWorker starts a worker and waits until it has introduced itself.
func (s *setup) startWorker(ctx context.Context, kind worker.Kind, atOnce int) (*worker.Process, error) {
	if _, err := s.conn.Exec(ctx, "DELETE FROM rule_nats_consumer_stats"); err != nil {
		return nil, err
	}
	w, err := kind.Start(s.workerEnv(atOnce)...)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(deliverIn); ; time.Sleep(20 * time.Millisecond) {
		var there bool
		err := s.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM rule_nats_consumer_stats WHERE active AND stream_name = $1)", s.stream).Scan(&there)
		if there {
			return w, nil
		}
		if err == nil && (!w.Running() || time.Now().After(deadline)) {
			err = fmt.Errorf("the worker does not work:\n%s", w.Log())
		}
		if err != nil {
			return nil, errors.Join(err, w.Remove())
		}
	}
}

// many are workers beside each other.
type many []running

// startingMany is how n workers are started on an endpoint that takes its time.
func (s *setup) startingMany(n int) func() (running, error) {
	return func() (running, error) {
		var all many
		for range n {
			w, err := worker.Go.Start(s.workerEnv(slowAtOnce)...)
			if err != nil {
				return nil, errors.Join(err, all.Remove())
			}
			all = append(all, w)
		}
		return all, nil
	}
}

// Running is true while all of them run.
func (m many) Running() bool {
	for _, w := range m {
		if !w.Running() {
			return false
		}
	}
	return true
}

func (m many) Stop() error { return m.each(running.Stop) }

func (m many) Remove() error { return m.each(running.Remove) }

func (m many) each(do func(running) error) (err error) {
	for _, w := range m {
		err = errors.Join(err, do(w))
	}
	return err
}
