package topics

import (
	"errors"
	"testing"
)

// A status that fails while a newer one of its key is queued gives way to it.
func TestStatusOvertakenInFlight(t *testing.T) {
	q := newStatusQueue("status", func(string, Status) bool { return true }, quiet)
	s := Status{State: StateRunning, Generation: 1}
	q.put("k", []byte("old"), &s, false)
	sent := q.take()
	q.put("k", []byte("new"), &s, false)
	if q.done(t.Context(), sent[0], errors.New("no answer")) {
		t.Error("an overtaken status is tried again")
	}
	if left := q.take(); len(left) != 1 || string(left[0].value) != "new" {
		t.Errorf("%d entries left, want the new one", len(left))
	}
}

func TestStatusReplacedWhileQueued(t *testing.T) {
	q := newStatusQueue("status", func(string, Status) bool { return true }, quiet)
	s := Status{State: StateRunning, Generation: 1}
	q.put("a", []byte("1"), &s, false)
	q.put("b", []byte("1"), &s, false)
	q.put("a", []byte("2"), &s, false)
	got := q.take()
	if len(got) != 2 || got[0].key != "a" || string(got[0].value) != "2" {
		t.Errorf("%d entries, the first %s=%s; want a=2 and b", len(got), got[0].key, got[0].value)
	}
	for _, e := range got {
		q.done(t.Context(), e, nil)
	}
	if len(q.latest) != 0 {
		t.Errorf("%v is remembered for ever", q.latest)
	}
}
