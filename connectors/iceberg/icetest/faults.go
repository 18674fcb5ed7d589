package icetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/apache/iceberg-go/table"
)

// An Op is one kind of catalog call.
type Op string

// The calls that can be counted and disturbed.
const (
	Load            Op = "LoadTable"
	Commit          Op = "CommitTable"
	CommitMany      Op = "CommitTransaction"
	Create          Op = "CreateTable"
	Drop            Op = "DropTable"
	CreateNamespace Op = "CreateNamespace"
	ListNamespaces  Op = "ListNamespaces"
)

// A Fault disturbs one call. The zero Fault lets it pass. A caller whose context
// ends while the call waits gets the context's error.
type Fault struct {
	DelayBefore time.Duration // wait before the call is applied: a request on its way
	Before      error         // answered instead of applying: refused, or the request was lost
	After       error         // answered after applying: the reply was lost
	DelayAfter  time.Duration // wait before the answer

	// Detached applies the call at the end of DelayBefore even though the caller gave
	// up before: a request that the server still serves. It lands when its time has
	// come, seen by every call from then on.
	Detached bool
}

// Inject queues faults: each later call of op takes the next one; calls after the
// last pass.
func (c *Catalog) Inject(op Op, queue ...Fault) { c.faults.inject(op, queue) }

// Chaos asks fn before every call that has no queued fault; n counts the calls of
// op from 1. A nil fn ends it. fn may be called from several goroutines at once.
func (c *Catalog) Chaos(fn func(op Op, n int) Fault) {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	c.faults.chaos = fn
}

// Break lets loads or commits of one table, also together with others, fail with err, on
// top of what Chaos does, until Mend.
func (c *Catalog) Break(ident table.Identifier, err error, ops ...Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = map[string]map[Op]error{}
	}
	c.broken[key(ident)] = map[Op]error{}
	for _, op := range ops {
		c.broken[key(ident)][op] = err
	}
}

// Mend ends what Break began.
func (c *Catalog) Mend(ident table.Identifier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.broken, key(ident))
}

func (c *Catalog) isBroken(ident table.Identifier, op Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken[key(ident)][op]
}

// Calls is how many calls of op arrived, disturbed ones included.
func (c *Catalog) Calls(op Op) int {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	return c.faults.calls[op]
}

// faults decides what happens to calls, and holds those that land late. Late calls
// need no goroutine: each call first applies those that are due.
type faults struct {
	mu    sync.Mutex // guards what follows; never held while a call waits or is applied
	calls map[Op]int
	queue map[Op][]Fault
	chaos func(Op, int) Fault
	late  []lateCall
}

type lateCall struct {
	due   time.Time
	apply func() error
}

func (f *faults) inject(op Op, queue []Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queue == nil {
		f.queue = map[Op][]Fault{}
	}
	f.queue[op] = append(f.queue[op], queue...)
}

// call applies one call under the fault that is its turn.
func (f *faults) call(ctx context.Context, op Op, apply func() error) error {
	fault := f.next(op)
	due := time.Now().Add(fault.DelayBefore)
	if err := wait(ctx, fault.DelayBefore); err != nil {
		if fault.Detached && fault.Before == nil {
			f.postpone(due, apply)
		}
		return err
	}
	f.land()
	if fault.Before != nil {
		return fault.Before
	}
	err := apply()
	if waitErr := wait(ctx, fault.DelayAfter); waitErr != nil {
		return waitErr
	}
	if err == nil {
		err = fault.After
	}
	return err
}

// next counts the call and finds its fault.
func (f *faults) next(op Op) Fault {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[Op]int{}
	}
	f.calls[op]++
	n, chaos := f.calls[op], f.chaos
	if queue := f.queue[op]; len(queue) > 0 {
		f.queue[op] = queue[1:]
		f.mu.Unlock()
		return queue[0]
	}
	f.mu.Unlock()
	if chaos == nil {
		return Fault{}
	}
	return chaos(op, n)
}

// postpone keeps a call that its caller gave up.
func (f *faults) postpone(due time.Time, apply func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = append(f.late, lateCall{due, apply})
	slices.SortStableFunc(f.late, func(a, b lateCall) int { return a.due.Compare(b.due) })
}

// land applies the late calls that are due. Nobody hears what becomes of them.
func (f *faults) land() {
	now := time.Now()
	for {
		f.mu.Lock()
		if len(f.late) == 0 || f.late[0].due.After(now) {
			f.mu.Unlock()
			return
		}
		apply := f.late[0].apply
		f.late = f.late[1:]
		f.mu.Unlock()
		_ = apply()
	}
}

// wait sleeps for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if err := context.Cause(ctx); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
