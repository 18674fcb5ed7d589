package sink

import (
	"context"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A member is the part of kafka.Member that the loop stands on.
type member interface {
	Run(ctx context.Context) error
	Events() <-chan kafka.Event
	Rejoin(reason string)
	Commit(ctx context.Context, member string, generation int32, offsets map[connect.TopicPartition]int64) error
	Committed(ctx context.Context, tps []connect.TopicPartition) (map[connect.TopicPartition]int64, error)
}

// A fetcher is the part of kafka.Fetcher that the loop stands on.
type fetcher interface {
	Add(tp connect.TopicPartition, next int64)
	Remove(tp connect.TopicPartition)
	Seek(tp connect.TopicPartition, next int64)
	Pause(tp connect.TopicPartition)
	Resume(tp connect.TopicPartition)
	Poll(ctx context.Context, wait time.Duration) ([]fetched, error)
	Wake()
	Close() error
}

// An admin is the part of kafka.Admin that is used.
type admin interface {
	Topics(ctx context.Context, names ...string) (map[string]kafka.TopicInfo, error)
	Offsets(ctx context.Context, tps []connect.TopicPartition, at int64) (map[connect.TopicPartition]int64, error)
	Close() error
}

// fetched is a run of records of one partition, and how far it has been used.
type fetched struct {
	connect.TopicPartition
	records
	id   [16]byte // of the topic
	next int64    // position after it
	err  error    // trouble with the partition instead of records
	at   int      // the first record not delivered yet
}

type records interface {
	Len() int
	At(i int, r *kafka.Raw)
}

// clients makes the Kafka clients of a task; tests make their own.
type clients struct {
	member  func(kafka.MemberConfig) member
	fetcher func(*kafka.Config) (fetcher, error)
	admin   func(*kafka.Config) (admin, error)
}

func kafkaClients() clients {
	return clients{
		member: func(c kafka.MemberConfig) member { return kafka.NewMember(c) },
		fetcher: func(c *kafka.Config) (fetcher, error) {
			f, err := kafka.NewFetcher(c)
			if err != nil {
				return nil, err
			}
			return bulk{f}, nil
		},
		admin: func(c *kafka.Config) (admin, error) { return kafka.NewAdmin(c) },
	}
}

// bulk is a kafka.Fetcher as a fetcher.
type bulk struct{ *kafka.Fetcher }

func (b bulk) Poll(ctx context.Context, wait time.Duration) ([]fetched, error) {
	got, err := b.Fetcher.Poll(ctx, wait)
	out := make([]fetched, len(got))
	for i := range got {
		f := &got[i]
		out[i] = fetched{TopicPartition: f.TopicPartition, records: f, id: f.TopicID, next: f.Next, err: f.Err}
	}
	return out, err
}

// A desk lends the task's one Admin to one goroutine at a time.
type desk chan admin

func (d desk) do(ctx context.Context, work func(admin) error) error {
	select {
	case a := <-d:
		defer func() { d <- a }()
		return work(a)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
