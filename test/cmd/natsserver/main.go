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
	var member natsserver.Member
	flag.StringVar(&member.Name, "name", "", "its name in a cluster")
	flag.IntVar(&member.Port, "route-port", 0, "where it listens for the others of the cluster")
	flag.StringVar(&member.Routes, "routes", "", "the route ports of all, with commas")
	flag.Parse()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	if err := natsserver.Serve(*port, *store, member, end); err != nil {
		fmt.Fprintln(os.Stderr, "natsserver:", err)
		os.Exit(1)
	}
}
