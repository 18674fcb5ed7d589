package faults

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

var errBoom = errors.New("boom")

func TestParseConfig(t *testing.T) {
	got, err := ParseConfig(map[string]string{
		"errors.retry.timeout": "-1", "errors.retry.delay.max.ms": "1500", "errors.tolerance": "ALL", "errors.log.enable": "true",
		"errors.log.include.messages": " TRUE ", "errors.deadletterqueue.topic.name": " dlq ", "errors.deadletterqueue.topic.replication.factor": "1",
		"errors.deadletterqueue.context.headers.enable": "true",
	})
	want := Config{
		RetryTimeout: -time.Millisecond, RetryDelayMax: 1500 * time.Millisecond, TolerateAll: true, Log: true, LogMessages: true,
		DLQTopic: "dlq", DLQReplication: 1, DLQHeaders: true,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	got, err = ParseConfig(nil)
	if want := (Config{RetryDelayMax: time.Minute, DLQReplication: 3}); err != nil || got != want {
		t.Errorf("defaults: got %+v, %v, want %+v", got, err, want)
	}
	for key, value := range map[string]string{
		"errors.retry.timeout": "soon", "errors.tolerance": "some", "errors.log.enable": "yes", "errors.deadletterqueue.topic.replication.factor": "70000",
	} {
		if _, err := ParseConfig(map[string]string{key: value}); err == nil || !strings.HasPrefix(err.Error(), "Invalid value "+value+" for configuration "+key+": ") {
			t.Errorf("%s=%s: got error %v", key, value, err)
		}
	}
}

func TestRetry(t *testing.T) {
	retry := &connect.RetryError{Err: errBoom}
	now := time.Unix(0, 0)
	t.Run("delays", func(t *testing.T) {
		r := New(Config{RetryTimeout: 10 * time.Second, RetryDelayMax: 2 * time.Second}, "c", 0, nil)
		var trial Trial
		var at, got []time.Duration
		for elapsed := time.Duration(0); ; {
			delay, again := r.Retry(&trial, now.Add(elapsed), retry)
			if !again {
				break
			}
			at, got = append(at, elapsed), append(got, delay)
			elapsed += max(delay, 1)
			if len(got) > 1_000_000 {
				t.Fatal("no end")
			}
		}
		for i, want := range []time.Duration{300 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond} {
			if got[i] != want {
				t.Errorf("delay %d: got %v, want %v", i, got[i], want)
			}
		}
		last := len(got) - 1
		for i := 3; i < last; i++ {
			if got[i] >= 2*time.Second {
				t.Errorf("delay %d: got %v, want a random one below errors.retry.delay.max.ms", i, got[i])
			}
		}
		if end := at[last] + got[last]; end > 10*time.Second {
			t.Errorf("last try at %v, after errors.retry.timeout", end)
		}
		if f, n := r.Stats().Failures.Load(), r.Stats().Retries.Load(); n != int64(len(got)) || f != n+1 {
			t.Errorf("counted %d failures and %d retries in %d delays", f, n, len(got))
		}
	})
	t.Run("not at all", func(t *testing.T) {
		r := New(Config{}, "c", 0, nil)
		if _, again := r.Retry(new(Trial), now, retry); again {
			t.Error("retried with errors.retry.timeout=0")
		}
		r = New(Config{RetryTimeout: -1}, "c", 0, nil)
		if _, again := r.Retry(new(Trial), now, errBoom); again {
			t.Error("retried an error that is not retriable")
		}
	})
	t.Run("outage", func(t *testing.T) {
		outage := &connect.RetryError{Err: errBoom, Outage: true}
		for timeout, want := range map[time.Duration]time.Duration{0: 10 * time.Minute, time.Minute: 10 * time.Minute, time.Hour: time.Hour} {
			r := New(Config{RetryTimeout: timeout, RetryDelayMax: time.Minute}, "c", 0, nil)
			var trial Trial
			at := time.Duration(0)
			for {
				delay, again := r.Retry(&trial, now.Add(at), outage)
				if !again {
					break
				}
				at += delay
			}
			if at != want {
				t.Errorf("errors.retry.timeout %v: waited %v, want %v", timeout, at, want)
			}
		}
	})
	t.Run("for ever", func(t *testing.T) {
		r := New(Config{RetryTimeout: -1, RetryDelayMax: 0}, "c", 0, nil)
		var trial Trial
		for i := range 1000 {
			if delay, again := r.Retry(&trial, now.Add(time.Duration(i)*time.Hour), retry); !again || delay != 0 {
				t.Fatalf("try %d: got %v, %v", i, delay, again)
			}
		}
	})
}

func failure(err error) *Failure {
	return &Failure{
		Stage: connect.StageValueConverter, Class: "org.apache.kafka.connect.json.JsonConverter", TopicPartition: connect.TopicPartition{Topic: "orders", Partition: 3},
		Offset: 41, Timestamp: 1500, TimestampType: connect.CreateTime, Key: []byte("k"), Value: []byte("{"), Headers: []connect.Header{{Key: "h", Value: nil}}, Err: err,
	}
}

func TestToleranceAndCounters(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		all                       bool
		stage                     connect.Stage
		err                       error
		fails                     bool
		failures, errors, skipped int64
	}{
		{"not tolerated", false, connect.StageValueConverter, errBoom, true, 1, 1, 0},
		{"tolerated", true, connect.StageTransformation, errBoom, false, 1, 1, 1},
		{"retriable: counted when it was tried", true, connect.StageKeyConverter, &connect.RetryError{Err: errBoom}, false, 0, 1, 1},
		{"reported by the task", true, connect.StageTaskPut, errBoom, false, 1, 0, 0},
		{"reported by the task, not tolerated", false, connect.StageTaskPut, errBoom, true, 1, 1, 0},
	} {
		r := New(Config{TolerateAll: tt.all}, "c", 0, nil)
		f := failure(tt.err)
		f.Stage = tt.stage
		err := r.Failed(t.Context(), f)
		if (err != nil) != tt.fails {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if err != nil && (!errors.Is(err, errBoom) || !strings.HasPrefix(err.Error(), "Tolerance exceeded in error handler: ")) {
			t.Errorf("%s: got %q", tt.name, err)
		}
		s := r.Stats()
		if s.Failures.Load() != tt.failures || s.Errors.Load() != tt.errors || s.Skipped.Load() != tt.skipped || s.LastErrorTime.Load() == 0 {
			t.Errorf("%s: got %d failures, %d errors, %d skipped, want %d, %d, %d", tt.name, s.Failures.Load(), s.Errors.Load(), s.Skipped.Load(), tt.failures, tt.errors, tt.skipped)
		}
	}
}

// TestNotTheRecordsFault has errors.tolerance=all and a dead-letter topic, which must
// not swallow a topic because of a password.
func TestNotTheRecordsFault(t *testing.T) {
	for _, cause := range []error{&connect.FatalError{Msg: "401", Hint: "check the password"}, &connect.RetryError{Err: errBoom, Outage: true}} {
		r, s := withQueue(t, Config{TolerateAll: true})
		err := r.Failed(t.Context(), failure(cause))
		if want := "VALUE_CONVERTER orders-3@41: " + cause.Error(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if len(s.sent) != 0 || r.Stats().Skipped.Load() != 0 {
			t.Errorf("%v: %d dead letters, %d skipped, want none", cause, len(s.sent), r.Stats().Skipped.Load())
		}
	}
}

func TestErrorLogLine(t *testing.T) {
	for messages, want := range map[bool]string{
		false: "Error encountered in task c-7. Executing stage 'VALUE_CONVERTER' with class 'org.apache.kafka.connect.json.JsonConverter'.",
		true: "Error encountered in task c-7. Executing stage 'VALUE_CONVERTER' with class 'org.apache.kafka.connect.json.JsonConverter', " +
			"where consumed record is {topic='orders', partition=3, offset=41, timestamp=1500, timestampType=CreateTime}.",
	} {
		var log bytes.Buffer
		r := New(Config{TolerateAll: true, Log: true, LogMessages: messages}, "c", 7, slog.New(slog.NewTextHandler(&log, nil)))
		if err := r.Failed(t.Context(), failure(errBoom)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), `level=ERROR msg="`+want+`" error=boom`) {
			t.Errorf("got %s\nwant %s", log.String(), want)
		}
	}
}

// A fakeSender acknowledges when the test says so.
type fakeSender struct {
	sent []kafka.Message
	acks []chan error
	err  error
}

type fakeDelivery chan error

func (d fakeDelivery) Wait(ctx context.Context) (int64, error) {
	select {
	case err := <-d:
		d <- err // for the next who asks
		return 0, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *fakeSender) Send(_ context.Context, m kafka.Message) (delivery, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.sent = append(s.sent, m)
	ack := make(chan error, 1)
	s.acks = append(s.acks, ack)
	return fakeDelivery(ack), nil
}

func (s *fakeSender) Close() error { return nil }

func withQueue(t *testing.T, cfg Config) (*Reporter, *fakeSender) {
	t.Helper()
	cfg.DLQTopic = "dlq"
	r, s := New(cfg, "c", 7, slog.New(slog.DiscardHandler)), new(fakeSender)
	r.queue.open = func() (sender, error) { return s, nil }
	if err := r.queue.start(); err != nil {
		t.Fatal(err)
	}
	return r, s
}

func TestDeadLetterRecord(t *testing.T) {
	r, s := withQueue(t, Config{TolerateAll: true, DLQHeaders: true})
	f := failure(&connect.DataError{Msg: "bad bytes"})
	if err := r.Failed(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.Key[0], f.Value[0] = 'x', 'x' // the batch's memory is used again
	m := s.sent[0]
	if m.Topic != "dlq" || m.Partition != -1 || string(m.Key) != "k" || string(m.Value) != "{" || m.Timestamp.UnixMilli() != 1500 {
		t.Errorf("got %+v", m)
	}
	want := []connect.Header{
		{Key: "h"},
		{Key: "__connect.errors.topic", Value: []byte("orders")},
		{Key: "__connect.errors.partition", Value: []byte("3")},
		{Key: "__connect.errors.offset", Value: []byte("41")},
		{Key: "__connect.errors.connector.name", Value: []byte("c")},
		{Key: "__connect.errors.task.id", Value: []byte("7")},
		{Key: "__connect.errors.stage", Value: []byte("VALUE_CONVERTER")},
		{Key: "__connect.errors.class.name", Value: []byte("org.apache.kafka.connect.json.JsonConverter")},
		{Key: "__connect.errors.exception.class.name", Value: []byte("org.apache.kafka.connect.errors.DataException")},
		{Key: "__connect.errors.exception.message", Value: []byte("bad bytes")},
		{Key: "__connect.errors.exception.stacktrace", Value: []byte("org.apache.kafka.connect.errors.DataException: bad bytes\n\tat org.apache.kafka.connect.json.JsonConverter(VALUE_CONVERTER)\n")},
	}
	if len(m.Headers) != len(want) {
		t.Fatalf("got %d headers, want %d", len(m.Headers), len(want))
	}
	for i, w := range want {
		if h := m.Headers[i]; h.Key != w.Key || !bytes.Equal(h.Value, w.Value) || (h.Value == nil) != (w.Value == nil) {
			t.Errorf("header %d: got %s=%q, want %s=%q", i, h.Key, h.Value, w.Key, w.Value)
		}
	}

	r, s = withQueue(t, Config{})
	f = failure(errBoom)
	f.Key, f.Value, f.Timestamp = nil, nil, -1
	if err := r.Failed(t.Context(), f); err == nil {
		t.Error("errors.tolerance=none let a record pass")
	}
	if m := s.sent[0]; m.Key != nil || m.Value != nil || !m.Timestamp.IsZero() || len(m.Headers) != 1 {
		t.Errorf("got %+v, want nulls, no timestamp, the original header alone", m)
	}
}

func TestJavaClass(t *testing.T) {
	for class, err := range map[string]error{
		"ConnectException": errBoom, "DataException": &connect.RecordError{Err: &connect.DataError{}}, "RetriableException": &connect.RetryError{Err: &connect.DataError{}},
	} {
		if got := JavaClass(err); got != "org.apache.kafka.connect.errors."+class {
			t.Errorf("%T: got %s, want %s", err, got, class)
		}
	}
}

func TestWaitForDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withQueue(t, Config{TolerateAll: true})
		report := func() {
			t.Helper()
			if err := r.Failed(t.Context(), failure(errBoom)); err != nil {
				t.Fatal(err)
			}
		}
		report()
		report()
		mark := r.Mark()
		report() // after the mark: not waited for
		waits := make(chan error, 2)
		for range 2 {
			go func() { waits <- r.Wait(t.Context(), mark) }()
		}
		synctest.Wait()
		s.acks[1] <- nil
		synctest.Wait()
		if len(waits) != 0 {
			t.Fatal("Wait returned although the first record is not acknowledged")
		}
		s.acks[0] <- nil
		for range 2 {
			if err := <-waits; err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Wait(ctx, r.Mark()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error while a record is unacknowledged", err)
		}
		s.acks[2] <- errBoom
		for range 2 {
			if err := r.Wait(t.Context(), r.Mark()); !errors.Is(err, errBoom) {
				t.Errorf("got %v, want the delivery's error, for ever", err)
			}
		}
		if got := r.Stats().DLQFailures.Load(); got != 1 {
			t.Errorf("failures: got %d, want 1", got)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withQueue(t, Config{TolerateAll: true})
		done := make(chan error)
		go func() {
			for range unackedMax + 1 {
				if err := r.Failed(t.Context(), failure(errBoom)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		synctest.Wait()
		if len(s.sent) != unackedMax {
			t.Fatalf("sent %d without an acknowledgement, want %d", len(s.sent), unackedMax)
		}
		s.acks[0] <- nil
		if err := <-done; err != nil || len(s.sent) != unackedMax+1 {
			t.Errorf("got %v with %d sent", err, len(s.sent))
		}
	})
}

func TestRefusedSendEndsTheTask(t *testing.T) {
	r, s := withQueue(t, Config{TolerateAll: true})
	s.err = errBoom
	if err := r.Failed(t.Context(), failure(errBoom)); err == nil || !strings.HasPrefix(err.Error(), "store record in dead-letter topic dlq") {
		t.Errorf("got %v, want an error: the record would be nowhere", err)
	}
}
