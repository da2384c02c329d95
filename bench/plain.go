package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rule_engine/bench/publisher"
	"rule_engine/test/process"
	"rule_engine/test/program"
)

// plain is a running program of bench/plain or bench/plain-nodejs.
type plain struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	ended chan struct{}
}

func startPlain(args ...string) (*plain, error) {
	path, err := program.Build("plain", "bench/plain")
	if err != nil {
		return nil, err
	}
	return startCommand(exec.Command(path, args...))
}

func startCommand(cmd *exec.Cmd) (_ *plain, err error) {
	p := &plain{cmd: cmd, ended: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.out = in, bufio.NewReader(out)
	err = process.Start(p.cmd, syscall.SIGKILL)
	in.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
		out.Close()
	}()
	return p, nil
}

func (p *plain) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Stop is Remove: the program holds nothing that it would have to give back.
func (p *plain) Stop() error { return p.Remove() }

func (p *plain) Remove() error {
	_ = p.cmd.Process.Kill()
	<-p.ended
	return nil
}

func (s *setup) event() publisher.Event {
	return publisher.Event{Subject: subject, Source: s.source, WebhookID: s.webhook, WebhookName: hookName, Payload: s.payload}
}

// publisherProcess is a plain loop in a process of its own, as a session is one.
type publisherProcess struct{ *plain }

func (p publisherProcess) work(_ context.Context, until time.Time) (n int, err error) {
	if _, err := fmt.Fprintln(p.in, time.Until(until)); err != nil {
		return 0, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("plain publisher: %w", err)
	}
	_, err = fmt.Sscan(line, &n)
	return n, err
}

// publisherProcesses are n plain loops to a server; end ends them.
func (s *setup) publisherProcesses(n int, url string) (all []looper, end func(), err error) {
	var started []*plain
	end = func() {
		for _, p := range started {
			_ = p.Remove()
		}
	}
	event, err := json.Marshal(s.event())
	if err != nil {
		return nil, nil, err
	}
	for range n {
		p, err := startPlain("publish", url, string(event))
		if err != nil {
			end()
			return nil, nil, err
		}
		started = append(started, p)
		all = append(all, publisherProcess{p})
	}
	return all, end, nil
}

// publisherGoroutine is a plain loop in this process.
type publisherGoroutine struct{ *publisher.Publisher }

func (p publisherGoroutine) work(ctx context.Context, until time.Time) (int, error) {
	return p.Work(ctx, until)
}

// publisherGoroutines are n plain loops beside each other; end disconnects them.
func (s *setup) publisherGoroutines(n int) (all []looper, end func(), err error) {
	var connected []*publisher.Publisher
	end = func() {
		for _, p := range connected {
			p.Close()
		}
	}
	for range n {
		p, err := publisher.New(s.nats.URL(), s.event())
		if err != nil {
			end()
			return nil, nil, err
		}
		connected = append(connected, p)
		all = append(all, publisherGoroutine{p})
	}
	return all, end, nil
}

func startPoster(url string, count int) (running, error) {
	return startPlain("post", strconv.Itoa(concurrency), url, strconv.Itoa(count))
}

func startConsumer(url, nats string) (running, error) {
	return startPlain("deliver", strconv.Itoa(concurrency), url, nats, stream, group)
}

func startConsumerInNode(url, nats string) (running, error) {
	node, err := program.Node()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(program.Repository(), "bench/plain-nodejs/deliver.mjs")
	return startCommand(exec.Command(node, file, strconv.Itoa(concurrency), url, nats, stream, group))
}

func nodeVersion() (string, error) {
	node, err := program.Node()
	if err != nil {
		return "", err
	}
	version, err := exec.Command(node, "--version").Output()
	return strings.TrimSpace(string(version)), err
}
