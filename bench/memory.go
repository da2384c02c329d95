package main

import (
	"context"
	"fmt"
	"io"

	"rule_engine/test/process"
)

// stage is a moment in a backend's life.
type stage struct {
	name                                     string
	private, dirty, promised, space, threads figures
}

// memory reads what a backend holds before it publishes, and after.
func (s *setup) memory(ctx context.Context, out io.Writer, measure effort) error {
	stages := []*stage{
		{name: "connected, one query"},
		{name: "Go started: a call refused for an unknown webhook"},
		{name: "after the first publish"},
		{name: "after 1,000 publishes"},
	}
	// One session that stays and has published: of the library's pages, only the first backend's
	// count as private while no other has mapped them.
	first, closeFirst, err := s.sessions(ctx, 1)
	if err != nil {
		return err
	}
	defer closeFirst()
	if err := first[0].publish(ctx); err != nil {
		return err
	}
	for range measure.backends {
		if err := s.life(ctx, stages); err != nil {
			return err
		}
	}

	heading(out, "Memory of a backend")
	var rows [][]string
	for _, at := range stages {
		rows = append(rows, []string{
			at.name, at.private.show("%.1f"), at.private.per(stages[0].private).show("%.1f"), at.dirty.show("%.1f"), at.threads.show("%.0f"),
			at.promised.show("%.0f"), at.space.show("%.0f"),
		})
	}
	table(out, []string{"", "private MB", "of the connected one", "of it dirty MB", "threads", "promised MB", "addresses MB"}, rows)
	fmt.Fprintf(out, "\nPrivate_Clean and Private_Dirty of /proc/PID/smaps, median of %d backends (lowest to highest). PostgreSQL's shared memory is left out: its pages count as private there while no other process has touched them. Promised is what counts with vm.overcommit_memory = 2 (the mappings with the flag ac).\n", measure.backends)
	return s.empty(ctx)
}

// life is that of one session, read at each stage.
func (s *setup) life(ctx context.Context, stages []*stage) error {
	one, end, err := s.sessions(ctx, 1)
	if err != nil {
		return err
	}
	defer end()
	conn := one[0].conn
	pid := int(conn.PgConn().PID())
	steps := []func() error{
		func() error { _, err := conn.Exec(ctx, "SELECT 1"); return err },
		func() error {
			if _, err := conn.Exec(ctx, publishOne, -1, s.payload); err == nil {
				return fmt.Errorf("webhook -1 exists")
			}
			return nil
		},
		func() error { return one[0].publish(ctx) },
		func() error {
			for range 1000 / together {
				if err := one[0].publishTogether(ctx, together); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return err
		}
		has, err := process.FootprintOf(pid)
		if err != nil {
			return err
		}
		stages[i].private = append(stages[i].private, has.Private/1024)
		stages[i].dirty = append(stages[i].dirty, has.Dirty/1024)
		stages[i].promised = append(stages[i].promised, has.Promised/1024)
		stages[i].space = append(stages[i].space, has.Space/1024)
		stages[i].threads = append(stages[i].threads, has.Threads)
	}
	return nil
}
