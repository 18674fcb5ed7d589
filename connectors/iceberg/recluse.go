package iceberg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/internal/kafka"
)

var _ connect.Recluse = (*Task)(nil)

// mostNamed is how many members a status names: a connector may have hundreds of tasks.
const mostNamed = 3

// Others looks for members that are not Firn's: a Java sink moves the source offsets in its
// own way, which the ranges of Firn's tasks know nothing of.
func (t *Task) Others(ctx context.Context) (string, error) {
	strangers, err := t.beside.Strangers(ctx)
	names := strangers.Names
	if err != nil || len(names) == 0 {
		return "", err
	}
	more := ""
	if n := len(names) - mostNamed; n > 0 {
		names, more = names[:mostNamed], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("Nothing is wrong: this task waits outside of consumer group %s, because members that are not Firn's, probably tasks of this connector "+
		"on Java workers, are at work: %s%s. They read all partitions. It takes over within seconds of the last of them leaving "+
		"(stop the Java workers one after another, or move the connector with firn migrate)", t.beside.Consumers, strings.Join(names, ", "), more), nil
}

// besides is what Others asks.
func (t *Task) besides() (*commit.KafkaJava, error) {
	cfg, err := kafka.NewConfig(t.client, t.dial)
	if err != nil {
		return nil, err
	}
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return nil, err
	}
	return &commit.KafkaJava{Admin: admin, Consumers: t.tc.Group().ID(), Group: t.identity.Group, Logger: t.tc.Logger()}, nil
}

// settlePatience bounds how long a task that leaves waits for its last ranges: if the
// coordinator has left before it, nobody accepts them.
const settlePatience = 5 * time.Second

// Finish brings what was read into the tables and the group's offsets, for a Java sink to
// go on from there. What the coordinator has accepted has until ctx ends to come so far; what
// it has not is dropped, and read again by others.
func (t *Task) Finish(ctx context.Context) error {
	settle, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	err := errors.Join(t.flush(ctx, [16]byte{}), t.settle(settle))
	t.retire(ctx, leavePatience)
	if !t.chain.Settled() || t.chain.Dirty() {
		t.reset("others have come into the group")
	}
	return err
}
