package iceberg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/datafile"
)

// An announcer takes sealed units in order, waits for their uploads and puts them on the
// control topic. A unit that was dropped before its announcement loses its files; one
// that was announced keeps them, whatever comes: somebody may still commit it.
type announcer struct {
	t    *Task
	more chan struct{}

	mu    sync.Mutex // guards queue, hello and the dropped mark of queued units
	queue []*sealed
	hello bool
}

// A sealed unit is one whose files are closed and on their way.
type sealed struct {
	unit    *commit.Unit
	links   []sealedLink
	ready   bool // announced before: the unit is complete
	dropped bool
}

type sealedLink struct {
	link    commit.Link
	spec    iceberg.PartitionSpec
	schema  *iceberg.Schema
	pending *datafile.Pending

	deletes    *datafile.Pending // of a keyed link, else nil
	deleteSpec iceberg.PartitionSpec
}

const (
	announceRetry = 500 * time.Millisecond
	discardWait   = 5 * time.Second // how long the deletion of dropped files may hold up a stop
)

func newAnnouncer(t *Task) *announcer {
	return &announcer{t: t, more: make(chan struct{}, 1)}
}

func (a *announcer) change(f func()) {
	a.mu.Lock()
	f()
	a.mu.Unlock()
	select {
	case a.more <- struct{}{}:
	default:
	}
}

func (a *announcer) add(s *sealed) { a.change(func() { a.queue = append(a.queue, s) }) }

// again announces a unit that was announced before.
func (a *announcer) again(u *commit.Unit) { a.add(&sealed{unit: u, ready: true}) }

// greet asks for a cycle.
func (a *announcer) greet() { a.change(func() { a.hello = true }) }

// drop marks everything that is queued or under way.
func (a *announcer) drop() {
	a.change(func() {
		for _, s := range a.queue {
			s.dropped = true
		}
	})
}

func (a *announcer) run(ctx context.Context) {
	for {
		a.mu.Lock()
		hello := a.hello
		a.hello = false
		var s *sealed
		if len(a.queue) > 0 {
			s = a.queue[0]
		}
		a.mu.Unlock()
		if hello {
			a.send(ctx, commit.Hello{})
		}
		if s != nil {
			a.announce(ctx, s)
			a.change(func() { a.queue = slices.Delete(a.queue, 0, 1) })
		}
		select {
		case <-ctx.Done():
			a.discard()
			return
		case <-a.more:
		}
	}
}

func (a *announcer) isDropped(s *sealed) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return s.dropped
}

func (a *announcer) announce(ctx context.Context, s *sealed) {
	if !s.ready {
		if err := a.complete(ctx, s); err != nil {
			if ctx.Err() == nil && !a.isDropped(s) {
				a.drop() // what comes after it is read again with it
				a.t.mail.post(func(context.Context) error { return a.t.rest(err) })
			}
			s.discard(ctx)
			return
		}
	}
	if a.isDropped(s) {
		if !s.ready {
			s.discard(ctx)
		}
		return
	}
	u := s.unit
	a.t.mail.post(func(context.Context) error {
		a.t.chain.Sent(u, time.Now())
		a.t.stored(s.links)
		return nil
	})
	for !a.isDropped(s) && !a.send(ctx, u) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceRetry):
		}
	}
}

// complete waits for the uploads and fills in the unit's links.
func (a *announcer) complete(ctx context.Context, s *sealed) error {
	for _, l := range s.links {
		files, err := l.pending.Wait(ctx)
		if err != nil {
			return writing(l.link.Table, err)
		}
		for _, f := range files {
			l.link.Records += f.Count()
			l.link.Bytes += f.FileSizeBytes()
		}
		if l.link.Files, err = commit.EncodeFiles(l.link.Version, l.spec, l.schema, files); err != nil {
			return fmt.Errorf("table %s: %w", l.link.Table, err)
		}
		if l.deletes != nil {
			if files, err = l.deletes.Wait(ctx); err != nil {
				return writing(l.link.Table, err)
			}
			for _, f := range files {
				l.link.Bytes += f.FileSizeBytes()
			}
			if l.link.Deletes, err = commit.EncodeDeletes(l.link.Version, l.deleteSpec, l.schema, files); err != nil {
				return fmt.Errorf("table %s: %w", l.link.Table, err)
			}
		}
		s.unit.Links = append(s.unit.Links, l.link)
	}
	return nil
}

// send reports whether the broker has the message.
func (a *announcer) send(ctx context.Context, m any) bool {
	err := a.t.channel.Send(ctx, m)
	if err != nil && !errors.Is(err, context.Canceled) {
		a.t.tc.Logger().Warn("control topic cannot be written; trying again", "error", err)
	}
	return err == nil
}

// discard deletes files that were never announced. It outlives ctx for as long as a
// delete may take.
func (s *sealed) discard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardWait)
	defer cancel()
	for _, l := range s.links {
		l.pending.Discard(ctx)
		if l.deletes != nil {
			l.deletes.Discard(ctx)
		}
	}
}

// discard is for what is left when the task ends.
func (a *announcer) discard() {
	a.mu.Lock()
	queue := a.queue
	a.queue = nil
	a.mu.Unlock()
	for _, s := range queue {
		if !s.ready {
			s.discard(context.Background())
		}
	}
}
