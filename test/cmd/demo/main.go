// demo shows the product at work on servers that are gone afterwards: rows become events in a
// stream, a worker delivers them as signed webhooks, and SQL tells what became of each. Every step
// is checked; the demo fails where it does not show what it says. With --shell it leaves all of it
// running and opens psql.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"rule_engine/test/run"
	"rule_engine/test/system"
)

var errInterrupted = errors.New("interrupted")

func main() {
	shell := flag.Bool("shell", false, "leave it running and open psql until you quit")
	flag.Parse()
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := show(ctx, os.Stdout, *shell)
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// show runs the demo and takes everything away again, however it ends.
func show(ctx context.Context, out io.Writer, shell bool) (err error) {
	shared, err := run.Begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shared.End()) }()
	s, err := system.Start(ctx)
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	d := &demo{System: s, ctx: ctx, out: out}
	if err := d.connect(); err != nil {
		return err
	}
	defer d.close()
	for _, step := range d.steps() {
		err := step(d)
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			for _, w := range d.workers {
				fmt.Fprintf(out, "\nA worker's log:\n%s\n", w.Log())
			}
			return err
		}
	}
	if !shell {
		return nil
	}
	return d.shell(shared.Tree)
}
