package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestLogFollows(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		fx.produce(numbered("config", 0, 0, 3)...)
		fx.produce(numbered("config", 1, 10, 2)...)
		l, err := NewLog(fx.config("log"), "config")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var seen []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- l.Run(ctx, func(r Raw) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, string(r.Value))
			})
		}()
		check := func(what string, end int64, want ...string) {
			t.Helper()
			start := time.Now()
			if err := l.ReadToEnd(soon(t)); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: took %v", what, took)
			}
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(seen)
			if fmt.Sprint(seen) != fmt.Sprint(want) || l.End() != end {
				t.Errorf("%s: saw %v, end %d; want %v, end %d", what, seen, l.End(), want, end)
			}
			seen = nil
		}
		check("at first", 3, "0", "1", "10", "11", "2")
		check("nothing new", 3)
		fx.produce(numbered("config", 0, 3, 1)...)
		check("one more", 4, "3")
		fx.plug("log", false)
		time.AfterFunc(time.Second, func() { fx.plug("log", true) })
		fx.produce(numbered("config", 0, 4, 1)...)
		check("through a cut", 5, "4")
		fx.fault(kmsg.ListOffsets, kerr.NotLeaderForPartition, 2)
		check("while leaders move", 5)

		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		fx.plug("log", false)
		if err := l.ReadToEnd(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("unplugged: %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}, kfake.SeedTopics(2, "config"))
}

func TestLogWaitsForItsTopic(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		l, err := NewLog(fx.config("log"), "config")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx, func(Raw) {}) }()
		time.AfterFunc(20*time.Second, func() {
			if err := fx.CreateTopic("config", 1, nil); err != nil {
				t.Error(err)
			}
		})
		if err := l.ReadToEnd(soon(t)); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}
