package group

import (
	"cmp"
	"slices"
	"strconv"
)

// A TaskID names one task: Java's ConnectorTaskId.
type TaskID struct {
	Connector string
	Task      int
}

// String spells the task as Kafka's logs do: connector-task.
func (t TaskID) String() string { return t.Connector + "-" + strconv.Itoa(t.Task) }

// Compare orders by connector name, then by task number.
func (t TaskID) Compare(o TaskID) int {
	return cmp.Or(cmp.Compare(t.Connector, o.Connector), cmp.Compare(t.Task, o.Task))
}

// Work is a set of connectors and tasks. The order counts in one place only: a leader
// that has to take work from a member takes what stands first.
type Work struct {
	Connectors []string
	Tasks      []TaskID
}

// Empty tells whether there is no work in w.
func (w Work) Empty() bool { return len(w.Connectors) == 0 && len(w.Tasks) == 0 }

// Clone copies w.
func (w Work) Clone() Work {
	return Work{slices.Clone(w.Connectors), slices.Clone(w.Tasks)}
}

// Plus is w followed by what o has besides.
func (w Work) Plus(o Work) Work {
	return Work{plus(w.Connectors, o.Connectors), plus(w.Tasks, o.Tasks)}
}

// Minus is w without what one of the others has.
func (w Work) Minus(others ...Work) Work {
	for _, o := range others {
		w = Work{minus(w.Connectors, o.Connectors), minus(w.Tasks, o.Tasks)}
	}
	return w
}

// And is the part of w that o has too.
func (w Work) And(o Work) Work { return w.Minus(w.Minus(o)) }

func plus[T comparable](a, b []T) []T {
	in := setOf(a)
	out := slices.Clone(a)
	for _, x := range b {
		if !in[x] {
			in[x] = true
			out = append(out, x)
		}
	}
	return out
}

func minus[T comparable](a, b []T) []T {
	out := make([]T, 0, len(a))
	in := setOf(b)
	for _, x := range a {
		if !in[x] {
			out = append(out, x)
		}
	}
	return out
}

func setOf[T comparable](s []T) map[T]bool {
	m := make(map[T]bool, len(s))
	for _, x := range s {
		m[x] = true
	}
	return m
}
