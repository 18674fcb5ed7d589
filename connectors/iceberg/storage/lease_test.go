package storage_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

func lent(key string, life time.Duration) map[string]string {
	return map[string]string{
		"s3.access-key-id": key, "s3.secret-access-key": "SK", "s3.session-token": "T",
		"s3.session-token-expires-at-ms": strconv.FormatInt(time.Now().Add(life).UnixMilli(), 10),
	}
}

// An upload that outlives the credentials it began with goes on under fresh ones.
func TestLeaseRenewsDuringUpload(t *testing.T) {
	f := newFakeS3(t)
	with := func(key string, life time.Duration) map[string]string {
		props := lent(key, life)
		props["s3.endpoint"], props["s3.path-style-access"], props["client.region"], props["s3.multipart.size"] = f.url, "true", "eu-north-1", strconv.Itoa(part)
		return props
	}
	data := noise(3 * part)
	const life = 2 * time.Second
	lease := storage.NewLease(func(context.Context) (map[string]string, error) { return with("SECOND", time.Hour), nil })
	lease.Update(with("FIRST", life))
	ended := time.Now().Add(life)
	files, err := lease.FileIO(t.Context(), "s3://b/x")
	if err != nil {
		t.Fatal(err)
	}
	w, err := files.Create(t.Context(), "s3://b/x")
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t, w, data[:part+1], part); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(ended)) // the credentials' own end
	if err := errors.Join(write(t, w, data[part+1:], part), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.object("b/x"); !bytes.Equal(got, data) {
		t.Errorf("stored %d bytes, or others", len(got))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys[0] != "FIRST" || f.keys[len(f.keys)-1] != "SECOND" || !slices.Contains(f.keys, "SECOND") {
		t.Errorf("access keys of the requests: %v, want FIRST and then SECOND", f.keys)
	}
	if again, err := lease.FileIO(t.Context(), "s3://b/y"); again != files || err != nil {
		t.Errorf("renewed credentials made another client (%v)", err)
	}
}

func TestLeaseRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		var trouble atomic.Pointer[error]
		lease := storage.NewLease(func(context.Context) (map[string]string, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			if err := trouble.Load(); err != nil {
				return nil, *err
			}
			return lent("B", time.Hour), nil
		})
		ask := func() (string, error) { return storage.LentKey(t.Context(), lease) }
		lease.Update(lent("A", time.Hour))
		time.Sleep(54 * time.Minute)
		if key, err := ask(); key != "A" || err != nil || calls.Load() != 0 {
			t.Errorf("after 54 of 60 minutes: key %q, %v, %d renewals, want A and none", key, err, calls.Load())
		}
		time.Sleep(2 * time.Minute)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if key, err := ask(); key != "B" || err != nil {
					t.Errorf("after 56 minutes: key %q, %v, want B", key, err)
				}
			})
		}
		all.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("%d renewals for 10 callers at once, want 1", got)
		}

		down := errors.New("catalog is away")
		trouble.Store(&down)
		time.Sleep(56 * time.Minute)
		if key, err := ask(); key != "B" || err != nil {
			t.Errorf("catalog away before the end: key %q, %v, want B still", key, err)
		}
		if before := calls.Load(); before != 2 {
			t.Errorf("%d renewals, want 2", before)
		}
		if _, err := ask(); err != nil || calls.Load() != 2 {
			t.Errorf("asked again at once: %v, %d renewals", err, calls.Load())
		}
		time.Sleep(5 * time.Minute)
		if _, err := ask(); !errors.Is(err, storage.ErrExpired) || !errors.Is(err, down) {
			t.Errorf("after the end: %v, want ErrExpired and the catalog's error", err)
		}
		if _, err := ask(); !errors.Is(err, storage.ErrExpired) {
			t.Errorf("after the end, before the next try: %v, want ErrExpired", err)
		}
		trouble.Store(nil)
		time.Sleep(time.Minute)
		if key, err := ask(); key != "B" || err != nil {
			t.Errorf("catalog is back: key %q, %v", key, err)
		}
	})
}

// A request that gives up while it renews does not keep the next one from asking.
func TestLeaseCancelledRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := storage.NewLease(func(ctx context.Context) (map[string]string, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
				return lent("B", time.Hour), nil
			}
		})
		lease.Update(lent("A", -time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := storage.LentKey(ctx, lease); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, storage.ErrExpired) {
			t.Errorf("%v, want that of the context", err)
		}
		if key, err := storage.LentKey(t.Context(), lease); key != "B" || err != nil {
			t.Errorf("the next one: key %q, %v, want B", key, err)
		}
	})
}

// A renewal waits no longer than the request that needs it.
func TestLeaseContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := storage.NewLease(func(ctx context.Context) (map[string]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		lease.Update(lent("A", -time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _, _ = storage.LentKey(t.Context(), lease) }() // is renewing, until its own deadline
		synctest.Wait()
		if _, err := storage.LentKey(ctx, lease); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want that of the context", err)
		}
	})
}
