package topics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/internal/kafka"
)

// A journal is one internal topic: created if missing, read from its start, followed,
// and written to. It is what the config topic and the status topic have in common.
type journal struct {
	spec                      Spec
	admin, consumer, producer *kafka.Config

	life context.Context // ends with run: for those who wait meanwhile
	end  context.CancelFunc

	ready chan struct{} // closed when the topic was read to its end once; then these are set:
	log   *kafka.Log
	out   *kafka.Producer
}

// startLimit is how long reading the topic may take at the start. (Source: KafkaBasedLog.)
const startLimit = 15 * time.Minute

var errOver = errors.New("the worker has stopped following the topic")

func newJournal(spec Spec, admin, consumer, producer *kafka.Config) *journal {
	j := &journal{spec: spec, admin: admin, consumer: consumer, producer: producer, ready: make(chan struct{})}
	j.life, j.end = context.WithCancel(context.Background())
	return j
}

// run keeps the topic until ctx ends, and returns nil then. handle gets every record;
// caughtUp is called, in another goroutine, once all records have been handled that were
// there at the start. send, if any, runs beside; it gets the producer.
func (j *journal) run(ctx context.Context, handle func(kafka.Raw), caughtUp func(), send func(context.Context, *kafka.Producer)) error {
	defer j.end()
	err := j.follow(ctx, handle, caughtUp, send)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s topic: %w", j.spec.Kind, err)
}

func (j *journal) follow(ctx context.Context, handle func(kafka.Raw), caughtUp func(), send func(context.Context, *kafka.Producer)) (err error) {
	if err := j.ensure(ctx); err != nil {
		return err
	}
	log, err := kafka.NewLog(j.consumer, j.spec.Name)
	if err != nil {
		return err
	}
	out, err := kafka.NewProducer(j.producer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return log.Run(ctx, handle) })
	g.Go(func() error {
		starting, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		if err := log.ReadToEnd(starting); err != nil {
			return fmt.Errorf("read %s to its end: %w", j.spec.Name, err)
		}
		j.log, j.out = log, out
		caughtUp()
		close(j.ready)
		return nil
	})
	if send != nil {
		g.Go(func() error {
			send(ctx, out)
			return nil
		})
	}
	return g.Wait()
}

func (j *journal) ensure(ctx context.Context) (err error) {
	admin, err := kafka.NewAdmin(j.admin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	return Ensure(ctx, admin, j.spec)
}

// while waits until the journal is ready and calls f, with a context that ends with the
// journal too; f failed for that reason if the error is errOver.
func (j *journal) while(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(j.life, cancel)()
	select {
	case <-j.ready:
	case <-ctx.Done():
	}
	err := ctx.Err()
	if err == nil {
		err = f(ctx)
	}
	if err != nil && j.life.Err() != nil {
		return errOver
	}
	return err
}

// readToEnd returns when all records have been handled that are in the topic now.
func (j *journal) readToEnd(ctx context.Context) error {
	err := j.while(ctx, func(ctx context.Context) error { return j.log.ReadToEnd(ctx) })
	if err != nil {
		return fmt.Errorf("read %s topic %s to its end: %w", j.spec.Kind, j.spec.Name, err)
	}
	return nil
}
