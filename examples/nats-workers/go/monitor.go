package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// monitor answers on METRICS_ADDR whether the process lives (/healthz), whether
// it can do its work (/readyz) and what it has counted (/metrics).
type monitor struct{ server *http.Server }

// startMonitor listens from now on, or answers nil where METRICS_ADDR is not set.
// ctx ends when the process is told to.
func startMonitor(ctx context.Context, w *worker) (*monitor, error) {
	if w.cfg.metricsAddr == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", w.cfg.metricsAddr)
	if err != nil {
		return nil, wrong("METRICS_ADDR", "is %s, where nobody can listen: %v", w.cfg.metricsAddr, err)
	}
	w.metrics.watch(w)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "ok") })
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
		missing := w.missing(ctx)
		if len(missing) > 0 {
			http.Error(rw, strings.Join(missing, "\n"), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(rw, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(w.metrics.registry, promhttp.HandlerOpts{}))
	m := &monitor{&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}}
	go func() { _ = m.server.Serve(listener) }()
	slog.Info("monitoring", "addr", listener.Addr().String())
	return m, nil
}

func (m *monitor) close() {
	if m != nil {
		_ = m.server.Close()
	}
}

// missing says what keeps the worker from its work. A worker of the queue alone goes on without NATS.
func (w *worker) missing(ctx context.Context) []string {
	var all []string
	if ctx.Err() != nil {
		all = append(all, "stopping")
	}
	if !w.metrics.postgresUp() {
		all = append(all, "the database does not answer")
	}
	if w.cfg.doStream {
		switch {
		case !w.link.connected():
			all = append(all, "nats is away")
		case !w.link.there.Load():
			all = append(all, "the stream "+w.cfg.stream+" is out of reach")
		}
	}
	return all
}
