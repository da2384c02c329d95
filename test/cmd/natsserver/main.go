// natsserver is a NATS server with JetStream in a process of its own, which tests kill and freeze.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"rule_engine/test/natsserver"
)

func main() {
	port := flag.Int("port", -1, "where to listen, -1 for a free port")
	store := flag.String("store", "", "folder of the streams")
	flag.Parse()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	if err := natsserver.Serve(*port, *store, end); err != nil {
		fmt.Fprintln(os.Stderr, "natsserver:", err)
		os.Exit(1)
	}
}
