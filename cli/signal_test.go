package cli

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestFirstSignalEndsTheContext sends SIGTERM to this process, which would end it
// if nobody listened.
func TestFirstSignalEndsTheContext(t *testing.T) {
	var out strings.Builder
	ctx, stop := untilSignal(&out)
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if want := "terminated: finishing what is in flight"; !strings.Contains(out.String(), want) {
		t.Errorf("got %q, want %q in it", out.String(), want)
	}
}

func TestSignalComeTwiceIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, done := make(chan os.Signal, 2), make(chan struct{})
		got := make(chan os.Signal)
		go func() { got <- another(signals, done) }()
		signals <- syscall.SIGTERM
		time.Sleep(sameSignal)
		signals <- syscall.SIGINT
		if s := <-got; s != syscall.SIGINT {
			t.Errorf("quit at %v, want the one that came %v after the first", s, sameSignal)
		}
		go func() { got <- another(signals, done) }()
		close(done)
		if s := <-got; s != nil {
			t.Errorf("quit at %v though the command had ended", s)
		}
	})
}
