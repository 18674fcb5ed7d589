package datafile

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/parquet/compress"

	"github.com/firn-io/firn/connectors/iceberg/pages"
)

// DefaultBudgetBytes is the limit of a Writer that was given no Budget.
const DefaultBudgetBytes = 64 << 20

// A Budget bounds the memory of all Writers of one task. When open files hold more
// than it allows, the largest of them, of whichever Writer, gives up its memory:
// its rows are encoded and handed to the upload. What uploads have not yet sent
// counts as well, but can only be waited for: that is what Full tells.
//
// The Budget and its Writers belong to one goroutine; uploads only lower unsent.
type Budget struct {
	limit int64
	wake  func()

	held  int64   // by open files and staged rows, kept ones included
	kept  int64   // by rows that must wait for their Seal: those of KeyedWriters
	lanes []*lane // that hold something

	scratches map[scratchKey]*pages.Scratch // what all Writers encode with

	unsent atomic.Int64 // bytes that uploads have queued
}

type scratchKey struct {
	codec compress.Compression
	level int
}

// NewBudget makes a budget of limit bytes. wake, if not nil, is called from any
// goroutine when uploads have made room again after Full.
func NewBudget(limit int64, wake func()) *Budget {
	return &Budget{limit: max(limit, 1<<20), wake: wake}
}

// Used is the number of bytes that open files, staged rows and uploads hold: an
// estimate, brought up to date batch by batch.
func (b *Budget) Used() int64 { return b.held + b.unsent.Load() }

// Full tells that storage is slower than the rows come: fetching should pause
// until wake is called. Appending still works and takes memory.
func (b *Budget) Full() bool { return b.unsent.Load() > b.limit/4 && b.Used() > b.limit }

// keep counts n more bytes of rows that nothing but a Seal turns into files.
func (b *Budget) keep(n int64) {
	b.held += n
	b.kept += n
}

// crowded tells that such rows have half of the budget.
func (b *Budget) crowded() bool { return b.kept > b.limit/2 }

// scratch finds or makes the memory and compressor for files of a codec.
func (b *Budget) scratch(codec compress.Compression, level int) (*pages.Scratch, error) {
	key := scratchKey{codec, level}
	if s := b.scratches[key]; s != nil {
		return s, nil
	}
	s, err := pages.NewScratch(codec, level)
	if err != nil {
		return nil, err
	}
	if b.scratches == nil {
		b.scratches = map[scratchKey]*pages.Scratch{}
	}
	b.scratches[key] = s
	return s, nil
}

// queued and sent count the bytes of uploads.
func (b *Budget) queued(n int) { b.unsent.Add(int64(n)) }

func (b *Budget) sent(n int) {
	now := b.unsent.Add(-int64(n))
	if before := now + int64(n); b.wake != nil && before > b.limit/4 && now <= b.limit/4 {
		b.wake()
	}
}

// hold sets what a lane holds now.
func (b *Budget) hold(l *lane, n int64) {
	b.held += n - l.held
	switch {
	case l.held == 0 && n > 0:
		l.at = len(b.lanes)
		b.lanes = append(b.lanes, l)
	case l.held > 0 && n == 0:
		last := len(b.lanes) - 1
		b.lanes[l.at] = b.lanes[last]
		b.lanes[l.at].at = l.at
		b.lanes[last] = nil
		b.lanes = b.lanes[:last]
	}
	l.held = n
}

// relieve makes the largest files give up memory until three quarters are left, so
// that it does not run for every batch. Where nothing more can be gained it stops.
func (b *Budget) relieve() {
	if b.held <= b.limit {
		return
	}
	for b.held > b.limit*3/4 {
		var largest *lane
		for _, l := range b.lanes {
			if largest == nil || l.held > largest.held {
				largest = l
			}
		}
		if largest == nil {
			return
		}
		largest.relieve()
	}
}
