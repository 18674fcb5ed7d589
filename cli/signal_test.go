package cli

import (
	"os"
	"strings"
	"syscall"
	"testing"
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
