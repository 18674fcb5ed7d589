package connecttest

import (
	"slices"
	"testing"

	"github.com/firn-io/firn/connect"
)

// A TaskCase is a task that [Task] can try.
type TaskCase struct {
	New    func() connect.SinkTask
	Config map[string]string

	// Record makes the record of an offset, which the task must be able to take; its
	// values live in arena.
	Record func(arena *connect.Arena, tp connect.TopicPartition, offset int64) connect.Record
}

// Task checks the part of the SinkTask contract that does not depend on where the records
// go: the order of calls it must bear, and what PreCommit may answer.
func Task(t *testing.T, c TaskCase) {
	t.Helper()
	a, b := connect.TopicPartition{Topic: "t", Partition: 0}, connect.TopicPartition{Topic: "t", Partition: 1}
	tests := []struct {
		name string
		run  func(d *driver)
	}{
		{"stop right after start", func(*driver) {}},
		{"idle", func(d *driver) { d.open(a); d.idle(); d.preCommit() }},
		{"empty batch moves the position", func(d *driver) { d.open(a); d.put(a, 0, 0, 5); d.preCommit() }},
		{"records", func(d *driver) { d.open(a, b); d.put(a, 0, 3, 3); d.put(b, 7, 2, 9); d.idle(); d.preCommit() }},
		{"partition kept while another goes", func(d *driver) {
			d.open(a, b)
			d.put(a, 0, 3, 3)
			d.close(false, b)
			d.put(a, 3, 2, 5)
			d.preCommit()
		}},
		{"partition lost and back", func(d *driver) {
			d.open(a)
			d.put(a, 0, 3, 3)
			d.close(true, a)
			d.preCommit()
			d.open(a)
			d.put(a, 0, 3, 3)
			d.preCommit()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &driver{t: t, c: c, task: c.New(), tc: NewTaskContext(), next: map[connect.TopicPartition]int64{}}
			if err := d.task.Start(t.Context(), d.tc, c.Config); err != nil {
				t.Fatalf("Start: %v", err)
			}
			tt.run(d)
			if err := d.task.Stop(t.Context()); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if err := d.tc.Failure(); err != nil {
				t.Errorf("task called Fail: %v", err)
			}
		})
	}
}

// A driver calls a task as the worker does.
type driver struct {
	t    *testing.T
	c    TaskCase
	task connect.SinkTask
	tc   *TaskContext
	next map[connect.TopicPartition]int64 // delivered
}

func (d *driver) open(parts ...connect.TopicPartition) {
	d.t.Helper()
	d.tc.Parts = append(d.tc.Parts, parts...)
	d.session()
	positions, err := d.task.Open(d.t.Context(), parts)
	if err != nil {
		d.t.Fatalf("Open %v: %v", parts, err)
	}
	for tp, next := range positions {
		if !slices.Contains(parts, tp) || next < 0 {
			d.t.Errorf("Open(%v) answered position %d for %s", parts, next, tp)
		}
	}
}

func (d *driver) session() {
	s := d.tc.Members.Session()
	s.Generation++
	s.Owned = d.tc.Assignment()
	s.Subscribed = s.Owned
	d.tc.Members.SetSession(s)
}

func (d *driver) put(tp connect.TopicPartition, first int64, n int, next int64) {
	d.t.Helper()
	batch := connect.Batch{TopicPartition: tp, Next: next, Arena: new(connect.Arena)}
	for i := range n {
		batch.Records = append(batch.Records, d.c.Record(batch.Arena, tp, first+int64(i)))
	}
	if err := d.task.Put(d.t.Context(), &batch); err != nil {
		d.t.Fatalf("Put %s [%d,%d): %v", tp, first, next, err)
	}
	d.next[tp] = next
}

func (d *driver) idle() {
	d.t.Helper()
	if err := d.task.Put(d.t.Context(), nil); err != nil {
		d.t.Fatalf("Put(nil): %v", err)
	}
}

func (d *driver) preCommit() {
	d.t.Helper()
	offsets, err := d.task.PreCommit(d.t.Context())
	if err != nil {
		d.t.Fatalf("PreCommit: %v", err)
	}
	for tp, next := range offsets {
		if !slices.Contains(d.tc.Parts, tp) {
			d.t.Errorf("PreCommit named %s, which the task does not hold", tp)
		} else if next > d.next[tp] {
			d.t.Errorf("PreCommit of %s: got %d, above what was delivered (%d)", tp, next, d.next[tp])
		}
	}
}

func (d *driver) close(lost bool, parts ...connect.TopicPartition) {
	d.t.Helper()
	if err := d.task.Close(d.t.Context(), parts, lost); err != nil {
		d.t.Fatalf("Close %v lost=%v: %v", parts, lost, err)
	}
	d.tc.Parts = slices.DeleteFunc(d.tc.Parts, func(tp connect.TopicPartition) bool { return slices.Contains(parts, tp) })
	for _, tp := range parts {
		delete(d.next, tp)
	}
	d.session()
}
