//go:build unix

package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is a running program, with all that it starts in a process group of its
// own. Its methods may be called from one goroutine at a time.
type Process struct {
	Name string
	Log  string // the file that holds what it prints

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; valid after done
}

// Start runs a command whose output goes to the end of the file logPath.
func Start(name, logPath string, cmd *exec.Cmd) (*Process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own handle
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, Log: logPath, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// Kill ends the process group as kill -9 does, and waits for it.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end, and kills it if that takes too long.
func (p *Process) Stop() error {
	const patience = 30 * time.Second
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		p.signal(syscall.SIGKILL) // what it started and left behind
		return nil
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM; killed", p.Name, patience)
	}
}

// signal is sent to the group; that it may be gone already is no error.
func (p *Process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// Running tells whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// PID is the process id, which is that of its group too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Await asks ready until it says nil, the process ends, or a minute is over. A
// process that does not get ready is killed.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	const patience, pause = time.Minute, 50 * time.Millisecond
	wctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := ready(wctx)
		if err == nil && p.Running() {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended (%w); the end of its log:\n%s", p.Name, errors.Join(p.err, err), p.Tail())
		case <-wctx.Done():
			p.Kill()
			return fmt.Errorf("%s is not ready after %s: %w; the end of its log:\n%s", p.Name, patience, err, p.Tail())
		case <-tick.C:
		}
	}
}

// Printed tells whether the log has a text, anywhere.
func (p *Process) Printed(text string) bool {
	all, err := os.ReadFile(p.Log)
	return err == nil && bytes.Contains(all, []byte(text))
}

// Tail is the end of the log.
func (p *Process) Tail() string {
	const keep = 6000
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-keep):])
}

// says waits for a line of the log that begins, anywhere, with prefix, and returns
// the rest of the last such line. What a process says about itself is how it is told
// from a stranger on the same port.
func (p *Process) says(prefix string) func(context.Context) error {
	return func(context.Context) error {
		_, err := p.said(prefix)
		return err
	}
}

func (p *Process) said(prefix string) (string, error) {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return "", err
	}
	i := bytes.LastIndex(text, []byte(prefix))
	if i < 0 {
		return "", fmt.Errorf("it has not said %q", prefix)
	}
	line, _, ended := strings.Cut(string(text[i+len(prefix):]), "\n")
	if !ended {
		return "", fmt.Errorf("it is still saying %q", prefix)
	}
	return strings.TrimSpace(line), nil
}

// FreePort is a port of 127.0.0.1 that nobody listens on at this moment.
func FreePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, ln.Close()
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// writeProperties writes a Java properties file of plain keys and values.
func writeProperties(path string, props map[string]string) error {
	var b strings.Builder
	for k, v := range props {
		fmt.Fprintf(&b, "%s=%s\n", k, v)
	}
	return os.WriteFile(filepath.Clean(path), []byte(b.String()), 0o644)
}
