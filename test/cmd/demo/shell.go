package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"rule_engine/test/endpoint"
	"rule_engine/test/scratch"
	"rule_engine/test/system"
)

// shell opens psql on what runs, until one quits. What arrives is written to a file, so that it
// does not come between one's lines.
func (d *demo) shell(tree string) error {
	dir, err := scratch.Make("shell")
	if err != nil {
		return err
	}
	defer dir.Remove()
	log, err := os.Create(filepath.Join(dir.Path, "arrived"))
	if err != nil {
		return err
	}
	defer log.Close()
	d.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		verdict := "signature verified"
		if r.Signature != nil {
			verdict = r.Signature.Error()
		}
		fmt.Fprintf(log, "%s %s  %s  %s  %s\n", r.Method, r.Path, r.ID(), verdict, r.Body)
		return endpoint.Answer{}
	})
	d.line("\nIt all runs until you quit psql (\\q). Try:")
	d.line("  INSERT INTO orders (item) VALUES ('pen');")
	d.line("  \\! cat %s", log.Name())
	d.line("  SELECT * FROM webhook_status_summary \\gx")
	d.line("NATS: %s  PostgreSQL: %s\n", d.NATS.URL(), d.Postgres.URL(system.Database, system.Administrator))

	psql := exec.Command(filepath.Join(tree, "bin", "psql"), "-X", "-h", d.Postgres.Socket(), "-p", strconv.Itoa(d.Postgres.Port),
		"-U", system.Administrator, system.Database)
	psql.Stdin, psql.Stdout, psql.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := psql.Start(); err != nil {
		return err
	}
	// A Ctrl-C is psql's own matter; what ends us must end psql, so that we can clean up.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		for s := range signals {
			if s != syscall.SIGINT {
				_ = psql.Process.Signal(s)
			}
		}
	}()
	// Its exit code tells of the last statement, not of the demo.
	_ = psql.Wait()
	return nil
}
