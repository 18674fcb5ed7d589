package iceberg

import (
	"context"
	"errors"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/internal/kafka"
)

// A membership is what the members of the group are known for.
type membership struct {
	member     string
	generation int32
}

// watchAfter is how long a membership has to last until the task looks around: most of
// those before are over in a moment.
const watchAfter = 10 * time.Second

// watch has a task without a coordinator look for members that are not Firn's, once in
// each generation. The coordinator does so too, but a Java worker that holds the
// connector's first partition keeps Firn from having one, and nobody else would tell.
func (t *Task) watch(s connect.Session) {
	m := membership{s.Member, s.Generation}
	if t.watching || t.leading != nil || s.Member == "" || m == t.watched {
		return
	}
	t.watching = true
	t.wg.Go(func() {
		err := t.lookAround(t.life)
		if stop, ok := errors.AsType[*commit.StopError](err); ok {
			t.tc.Fail(stop)
			return
		}
		if err != nil {
			t.tc.Logger().Debug("looking for members that are not Firn's", "error", err)
			m = membership{} // look again
		}
		t.mail.post(func(context.Context) error {
			t.watching, t.watched = false, m
			return nil
		})
	})
}

func (t *Task) lookAround(ctx context.Context) (err error) {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(watchAfter):
	}
	cfg, err := kafka.NewConfig(t.client, t.dial)
	if err != nil {
		return err
	}
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	java := &commit.KafkaJava{Admin: admin, Consumers: t.tc.Group().ID(), Group: t.identity.Group, Logger: t.tc.Logger()}
	return commit.AwaitAlone(ctx, java, t.identity.Group, t.tc.Logger())
}
