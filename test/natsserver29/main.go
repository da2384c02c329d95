// natsserver29 is the oldest NATS server that the product works with, as a process for tests. It is a module of its
// own, since one program holds one version of the server.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	port := flag.Int("port", -1, "where to listen, -1 for a free port")
	store := flag.String("store", "", "folder of the streams")
	flag.Parse()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	if err := serve(*port, *store, end); err != nil {
		fmt.Fprintln(os.Stderr, "natsserver29:", err)
		os.Exit(1)
	}
}

// serve prints the port when the server is ready.
func serve(port int, store string, end <-chan os.Signal) error {
	s, err := server.NewServer(&server.Options{
		ServerName: "old", Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: store, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return fmt.Errorf("not ready for connections")
	}
	url := s.ClientURL()
	fmt.Println(url[len("nats://127.0.0.1:"):])
	<-end
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
