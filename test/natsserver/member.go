package natsserver

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// A Member is a server's place in a cluster; none stands alone.
type Member struct {
	Name string
	// Port is where it listens for the others.
	Port int
	// Routes are the ports of all, with commas.
	Routes string
}

func (m Member) flags() []string {
	if m.Name == "" {
		return nil
	}
	return []string{"-name", m.Name, "-route-port", fmt.Sprint(m.Port), "-routes", m.Routes}
}

// join makes options those of the member.
func (m Member) join(o *server.Options) {
	o.ServerName = m.Name
	o.Cluster = server.ClusterOpts{Name: "test", Host: o.Host, Port: m.Port}
	var routes []string
	for port := range strings.SplitSeq(m.Routes, ",") {
		routes = append(routes, "nats://"+o.Host+":"+port)
	}
	o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
}
