package iceberg

import (
	"context"
	"sync"
)

// A mailbox holds what other goroutines want the task's goroutine to do. Posting never
// blocks; the number of letters is bounded by the number of things under way.
type mailbox struct {
	wake func()

	mu      sync.Mutex // guards letters and arrived
	letters []func(context.Context) error
	arrived chan struct{} // closed by the next post; nil when nobody waits
}

func (m *mailbox) post(letter func(context.Context) error) {
	m.mu.Lock()
	m.letters = append(m.letters, letter)
	if m.arrived != nil {
		close(m.arrived)
		m.arrived = nil
	}
	m.mu.Unlock()
	m.wake()
}

// handle runs the letters in order of arrival; the first error ends it.
func (m *mailbox) handle(ctx context.Context) error {
	m.mu.Lock()
	letters := m.letters
	m.letters = nil
	m.mu.Unlock()
	for _, letter := range letters {
		if err := letter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when there is a letter, or with ctx's error.
func (m *mailbox) wait(ctx context.Context) error {
	m.mu.Lock()
	if len(m.letters) > 0 {
		m.mu.Unlock()
		return nil
	}
	if m.arrived == nil {
		m.arrived = make(chan struct{})
	}
	arrived := m.arrived
	m.mu.Unlock()
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
