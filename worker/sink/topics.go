package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/javaregex"
	"github.com/firn-io/firn/internal/kafka"
)

const (
	lookupTimeout = 5 * time.Second // of metadata for a rebalance
	lookupAgain   = time.Second     // after a failure, or on a sign that metadata is stale
	missingAgain  = 5 * time.Second // while a subscribed topic does not exist
)

// A subscription is which topics the task reads, and what is known of them.
type subscription struct {
	names   []string           // of a list
	regex   *javaregex.Pattern // else
	known   map[string][]int32 // topic to partitions, as of the last look-up
	missing []string           // of the list, reported

	refreshAt time.Time
	looking   bool
}

func subscribe(cfg Config) (s subscription, err error) {
	if cfg.TopicsRegex != "" {
		if s.regex, err = javaregex.Compile(cfg.TopicsRegex); err != nil {
			return s, fmt.Errorf("topics.regex: %w", err)
		}
		return s, nil
	}
	s.names = slices.Compact(slices.Sorted(slices.Values(cfg.Topics)))
	if len(s.names) == 0 {
		return s, errors.New("Must configure one of topics or topics.regex") //nolint:staticcheck // Java's sentence
	}
	return s, nil
}

// lookUp asks which of the subscribed topics exist, with what partitions. Internal
// topics never match a regex, as with exclude.internal.topics.
func (s *subscription) lookUp(ctx context.Context, d desk) (map[string][]int32, error) {
	known := map[string][]int32{}
	err := d.do(ctx, func(a admin) error {
		topics, err := a.Topics(ctx, s.names...)
		if err != nil {
			return err
		}
		for name, t := range topics {
			switch {
			case s.regex != nil && (t.Internal || !s.regex.Matches(name)):
			case len(t.Partitions) == 0 && t.Err != nil:
				return fmt.Errorf("topic %s: %w", name, t.Err)
			default:
				known[name] = t.Partitions
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up topics: %w", err)
	}
	return known, nil
}

// subscribed is what the member asks its group for.
func (s *subscription) subscribed() []string {
	if s.regex == nil {
		return s.names
	}
	return slices.Sorted(maps.Keys(s.known))
}

// all is every partition of the subscribed topics, in order.
func (s *subscription) all() []connect.TopicPartition {
	var all []connect.TopicPartition
	for topic, parts := range s.known {
		for _, n := range parts {
			all = append(all, connect.TopicPartition{Topic: topic, Partition: n})
		}
	}
	slices.SortFunc(all, connect.TopicPartition.Compare)
	return all
}

// refreshTopics looks from time to time whether topics or partitions have come or gone,
// and makes the group rebalance if so.
func (l *loop) refreshTopics(ctx context.Context) {
	s := &l.topics
	if s.known == nil || s.looking || time.Now().Before(s.refreshAt) {
		return
	}
	s.looking = true
	l.away(ctx, func() func(context.Context) error {
		lctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		known, err := s.lookUp(lctx, l.desk)
		return func(context.Context) error {
			s.looking = false
			if err != nil {
				s.refreshAt = time.Now().Add(lookupAgain)
				l.log.Warn("cannot see which topics exist; trying again", "error", err)
				return nil //nolint:nilerr // tried again
			}
			if !maps.EqualFunc(known, s.known, slices.Equal) {
				l.membership.Load().Rejoin("subscribed topics or their partitions have changed")
			}
			l.learn(known)
			return nil
		}
	})
}

// learn takes note of a look-up.
func (l *loop) learn(known map[string][]int32) {
	s := &l.topics
	s.known = known
	var missing []string
	for _, name := range s.names {
		if _, ok := known[name]; !ok {
			missing = append(missing, name)
		}
	}
	if !slices.Equal(missing, s.missing) && len(missing) > 0 {
		l.log.Warn("subscribed topics do not exist; waiting for them to be created", "topics", strings.Join(missing, ","))
	}
	s.missing = missing
	age := l.cfg.MetadataMaxAge
	if len(missing) > 0 {
		age = min(age, missingAgain)
	}
	s.refreshAt = time.Now().Add(age)
}

// assignedFrom takes note of what the group's leader, this task, saw when it assigned
// partitions. Between that and the look-up before it joined a topic may have gone: when it
// comes back, that must be a change.
func (s *subscription) assignedFrom(counts map[string]int32) {
	changed := false
	for name, parts := range s.known {
		if n := counts[name]; int(n) != len(parts) {
			changed = true
			s.set(name, n)
		}
	}
	for name, n := range counts {
		if _, ok := s.known[name]; !ok && n > 0 && (s.regex == nil && slices.Contains(s.names, name) || s.regex != nil && s.regex.Matches(name)) {
			changed = true
			s.set(name, n)
		}
	}
	if changed {
		s.suspect()
	}
}

func (s *subscription) set(topic string, partitions int32) {
	s.known = maps.Clone(s.known)
	delete(s.known, topic)
	for p := range partitions {
		s.known[topic] = append(s.known[topic], p)
	}
}

// suspect brings the next look-up forward: a partition does not answer as it should.
func (s *subscription) suspect() {
	if soon := time.Now().Add(lookupAgain); soon.Before(s.refreshAt) {
		s.refreshAt = soon
	}
}

// partitionCounts is asked in the member's goroutine when this task leads its group.
func (l *loop) partitionCounts(ctx context.Context, topics []string) (map[string]int32, error) {
	counts := map[string]int32{}
	if len(topics) == 0 {
		return counts, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	err := l.desk.do(ctx, func(a admin) error {
		infos, err := a.Topics(ctx, topics...)
		if err != nil {
			return err
		}
		for name, t := range infos {
			if len(t.Partitions) == 0 && t.Err != nil && !errors.Is(t.Err, kafka.ErrUnauthorized) {
				return fmt.Errorf("topic %s: %w", name, t.Err)
			}
			counts[name] = int32(len(t.Partitions))
		}
		return nil
	})
	if err == nil {
		l.counted.Store(&counts)
	}
	return counts, err
}
