package commit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
	"github.com/firn-io/firn/internal/kafka"
)

// A Channel is the control topic as one task sees it: what it sends, and everything
// that is sent to its group from the moment the Channel was opened. Sends may come from
// any goroutine; one goroutine reads.
type Channel struct {
	topic    string
	group    string
	key      []byte // one per channel, so that its messages stay in one partition, in order
	admin    *kafka.Admin
	producer *kafka.Producer
	fetcher  *kafka.Fetcher
	parts    map[int32]bool
	log      *slog.Logger
}

const (
	readWait      = time.Second
	refreshTopics = 30 * time.Second // how soon partitions added to the control topic are seen
	createdFirst  = 10 * time.Millisecond
	createdLast   = 3 * time.Second // of all waits together, about
)

// ClientProps are the properties of the control topic's clients: the worker's, overlaid by
// the connector's own (iceberg.kafka.*). Whatever is sent is sent again if it is lost, so
// it is given up early: a partition that vanished with its topic never comes back.
func ClientProps(worker, own map[string]string) map[string]string {
	out := map[string]string{"delivery.timeout.ms": "20000"}
	maps.Copy(out, worker)
	maps.Copy(out, own)
	return out
}

// OpenChannel connects to the control topic, which it creates with one partition if
// there is none. What is sent from now on will be read.
func OpenChannel(ctx context.Context, cfg *kafka.Config, topic, group string, log *slog.Logger) (*Channel, error) {
	ch := &Channel{topic: topic, group: group, key: []byte(uuid.NewString()), parts: make(map[int32]bool), log: log}
	if err := ch.open(ctx, cfg); err != nil {
		ch.Close()
		return nil, err
	}
	return ch, nil
}

func (ch *Channel) open(ctx context.Context, cfg *kafka.Config) (err error) {
	if ch.admin, err = kafka.NewAdmin(cfg); err != nil {
		return fmt.Errorf("control topic %s: %w", ch.topic, err)
	}
	if ch.producer, err = kafka.NewProducer(cfg); err != nil {
		return fmt.Errorf("control topic %s: %w", ch.topic, err)
	}
	if ch.fetcher, err = kafka.NewFetcher(cfg); err != nil {
		return fmt.Errorf("control topic %s: %w", ch.topic, err)
	}
	parts, err := ch.partitions(ctx)
	if err != nil {
		return err
	}
	ends, err := ch.admin.Offsets(ctx, parts, kafka.Latest)
	if err != nil {
		return fmt.Errorf("read end of control topic %s: %w", ch.topic, err)
	}
	for tp, end := range ends {
		ch.fetcher.Add(tp, end)
		ch.parts[tp.Partition] = true
	}
	return nil
}

// partitions lists the control topic's partitions, creating it when it is missing. A
// broker may answer for a moment that a topic just created, by this task or another, is
// not there: none would then be read, so this waits until it is.
func (ch *Channel) partitions(ctx context.Context) ([]connect.TopicPartition, error) {
	for wait := createdFirst; ; wait *= 2 {
		info, err := ch.lookUp(ctx)
		if err == nil {
			err = info.Err
		}
		if err != nil {
			return nil, fmt.Errorf("look up or create control topic %s (iceberg.control.topic): %w", ch.topic, err)
		}
		if len(info.Partitions) > 0 {
			out := make([]connect.TopicPartition, len(info.Partitions))
			for i, p := range info.Partitions {
				out[i] = connect.TopicPartition{Topic: ch.topic, Partition: p}
			}
			return out, nil
		}
		if wait > createdLast {
			return nil, fmt.Errorf("control topic %s (iceberg.control.topic) was created and has no partitions yet", ch.topic)
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// pause waits for d, or until ctx ends, whose error it returns then.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookUp returns the control topic, or nothing if it is not there although it is created.
func (ch *Channel) lookUp(ctx context.Context) (kafka.TopicInfo, error) {
	infos, err := ch.admin.Topics(ctx, ch.topic)
	if err == nil && len(infos) == 0 {
		err = ch.admin.CreateTopic(ctx, kafka.TopicSpec{Name: ch.topic, Partitions: 1, ReplicationFactor: -1})
		if err == nil || errors.Is(err, kafka.ErrTopicExists) {
			infos, err = ch.admin.Topics(ctx, ch.topic)
		}
	}
	return infos[ch.topic], err
}

// Send writes messages, or Java's events for other programs, and returns when the broker
// has them.
func (ch *Channel) Send(ctx context.Context, messages ...any) error {
	var records []kafka.Message
	for _, m := range messages {
		if payload, ok := m.(javaevent.Payload); ok { // for other programs, under the real group id
			value, err := javaevent.Encode(&javaevent.Event{ID: randomID(), Time: time.Now(), Group: ch.group, Payload: payload})
			if err != nil {
				return err
			}
			records = append(records, ch.record(value, nil))
			continue
		}
		for _, s := range segments(encodeMessage(m), randomID()) {
			header := []connect.Header{{Key: javaevent.Header, Value: s}}
			records = append(records, ch.record(javaevent.Envelope(randomID(), time.Now(), ch.group), header))
		}
	}
	if err := ch.producer.SendAll(ctx, records); err != nil {
		return fmt.Errorf("write to control topic %s: %w", ch.topic, err)
	}
	return nil
}

func (ch *Channel) record(value []byte, headers []connect.Header) kafka.Message {
	return kafka.Message{Topic: ch.topic, Partition: -1, Key: ch.key, Value: value, Headers: headers}
}

// Run reads until ctx ends and calls handle, in its own goroutine, for every *Cycle,
// *Unit and Hello for the group. Nothing that is in the topic makes it fail.
func (ch *Channel) Run(ctx context.Context, handle func(m any)) error {
	var whole assembler
	var raw kafka.Raw
	refresh := time.Now().Add(refreshTopics)
	for {
		fetched, err := ch.fetcher.Poll(ctx, readWait)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is the usual end
		}
		if err != nil {
			return fmt.Errorf("read control topic %s: %w", ch.topic, err)
		}
		trouble := false
		for i := range fetched {
			f := &fetched[i]
			if f.Err != nil {
				ch.recover(f)
				trouble = true
				continue
			}
			for at := range f.Len() {
				f.At(at, &raw)
				ch.read(&whole, &raw, handle)
			}
		}
		if trouble || time.Now().After(refresh) {
			ch.refresh(ctx)
			refresh = time.Now().Add(refreshTopics)
		}
	}
}

func (ch *Channel) read(whole *assembler, raw *kafka.Raw, handle func(m any)) {
	at := slices.IndexFunc(raw.Headers, func(h connect.Header) bool { return h.Key == javaevent.Header })
	if at < 0 || !javaevent.IsEnvelope(raw.Value, ch.group) {
		return
	}
	message, ok := whole.add(raw.Headers[at].Value)
	if !ok {
		return
	}
	m, err := decodeMessage(message)
	if err != nil {
		ch.log.Warn("a message on the control topic is left alone", "topic", ch.topic, "error", err)
		return
	}
	handle(m)
}

// recover goes on after trouble with a partition. What is skipped is announced again.
func (ch *Channel) recover(f *kafka.Fetched) {
	var outOfRange *kafka.OffsetOutOfRangeError
	var renewed *kafka.TopicIDChangedError
	switch {
	case errors.As(f.Err, &outOfRange):
		ch.fetcher.Seek(f.TopicPartition, outOfRange.End)
	case errors.As(f.Err, &renewed):
		ch.fetcher.Remove(f.TopicPartition)
		ch.fetcher.Add(f.TopicPartition, 0)
	}
	ch.log.Warn("control topic is disturbed", "partition", f.String(), "error", f.Err)
}

// refresh reads partitions that have appeared, from their start, and makes a topic that
// has vanished anew.
func (ch *Channel) refresh(ctx context.Context) {
	parts, err := ch.partitions(ctx)
	if err != nil {
		if ctx.Err() == nil {
			ch.log.Warn("control topic cannot be looked up", "topic", ch.topic, "error", err)
		}
		return
	}
	for _, tp := range parts {
		if !ch.parts[tp.Partition] {
			ch.parts[tp.Partition] = true
			ch.fetcher.Add(tp, 0)
		}
	}
}

// Close ends the connections. Run must have returned.
func (ch *Channel) Close() {
	var errs []error
	if ch.fetcher != nil {
		errs = append(errs, ch.fetcher.Close())
	}
	if ch.producer != nil {
		errs = append(errs, ch.producer.Close())
	}
	if ch.admin != nil {
		errs = append(errs, ch.admin.Close())
	}
	if err := errors.Join(errs...); err != nil {
		ch.log.Debug("closing the control topic's connections", "error", err)
	}
}
