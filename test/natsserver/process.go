package natsserver

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"syscall"
	"time"

	"rule_engine/test/port"
	"rule_engine/test/process"
	"rule_engine/test/program"
	"rule_engine/test/scratch"
)

// A Process is a server in a process of its own, for SIGKILL and SIGSTOP.
type Process struct {
	Port  int
	Store string

	member  Member
	program string
	port    *port.Port
	dir     *scratch.Dir
	cmd     *exec.Cmd
}

const (
	current = "test/cmd/natsserver"
	// oldest is of the oldest version that the product works with.
	oldest = "test/natsserver29"
)

// StartProcess starts one that stands alone.
func StartProcess() (*Process, error) { return startProcess(current, Member{}) }

func startProcess(program string, member Member) (*Process, error) {
	dir, own, err := place()
	if err != nil {
		return nil, err
	}
	p := &Process{Port: own.Number, Store: dir.Path, program: program, member: member, port: own, dir: dir}
	if err := p.StartAgain(); err != nil {
		return nil, errors.Join(err, p.Remove())
	}
	return p, nil
}

// StartAgain starts one that was ended: the same port, the same store.
func (p *Process) StartAgain() error {
	binary, err := program.Build(path.Base(p.program), p.program)
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, append([]string{"-port", fmt.Sprint(p.Port), "-store", p.Store}, p.member.flags()...)...)
	cmd.Dir = p.Store
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := process.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	p.cmd = cmd
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return errors.Join(errNotReady, err)
	}
	return nil
}

// Serve is the whole of test/cmd/natsserver: it runs a server until it is told to end, and prints
// its port when it is ready.
func Serve(port int, store string, member Member, end <-chan os.Signal) error {
	s := &Server{Port: port, Store: store}
	if member.Name != "" {
		s.change = append(s.change, member.join)
	}
	if err := s.StartAgain(); err != nil {
		return err
	}
	fmt.Println(s.Port)
	<-end
	s.Stop()
	return nil
}

// URL is the address for clients.
func (p *Process) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.Port) }

// Freeze stops the process where it stands; its sockets stay open and answer nothing.
func (p *Process) Freeze() error { return process.Freeze(p.cmd.Process.Pid) }

// Thaw lets it go on.
func (p *Process) Thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends it with SIGKILL.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop ends it gracefully.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

func (p *Process) end(signal syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(signal)
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	// How it ended says only what we have sent.
	_ = p.cmd.Wait()
	p.cmd = nil
	return nil
}

// Remove ends it and removes its store.
func (p *Process) Remove() error {
	defer p.port.Free()
	return errors.Join(p.Kill(), p.dir.Remove())
}
