//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/firn-io/firn/internal/realtest/parts"
	"github.com/firn-io/firn/worker/local"
)

// withBroker calls use while a broker of the kind runs.
func withBroker(ctx context.Context, s *settings, kind string, use func(ctx context.Context, bootstrap string) error) error {
	switch kind {
	case "kfake":
		return withKfake(ctx, filepath.Join(s.dir, "kfake"), use)
	case "kafka":
		if s.kafka != "" {
			return use(ctx, s.kafka)
		}
		return withKafka(ctx, filepath.Join(s.dir, "kafka"), use)
	}
	return fmt.Errorf("no broker %q", kind)
}

// beBroker is the process of the embedded broker. It tells its address on standard
// output and ends when it is asked to.
func beBroker(ctx context.Context, dir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return local.Run(ctx, local.Config{Dir: dir, Logger: log}, func(ctx context.Context, st *local.Stack) error {
		if _, err := fmt.Println(st.Bootstrap); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

func withKfake(ctx context.Context, dir string, use func(ctx context.Context, bootstrap string) error) error {
	cmd, err := self(ctx, roleBroker, dir)
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = use(ctx, strings.TrimSpace(line))
	}
	return errors.Join(err, end(cmd))
}

// withKafka runs a real broker, which Maven brings.
func withKafka(ctx context.Context, dir string, use func(ctx context.Context, bootstrap string) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	broker, err := parts.NewKafka(ctx, dir, nil)
	if err != nil {
		return err
	}
	if err := broker.Start(ctx); err != nil {
		return err
	}
	return errors.Join(use(ctx, broker.Bootstrap), broker.Stop())
}

// self starts this binary again in a role. The end of ctx asks it to stop.
func self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd, nil
}

// end asks a process to stop and waits for it.
func end(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", cmd.Args[1], err)
	}
	return nil
}
