package commit

import (
	"context"
	"fmt"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A TabularGroup is a task's group whose offsets are kept where Tabular's sink keeps
// them: in a group of the sink's own, which has no members, and copied to the consumer
// group, where lag monitors look.
type TabularGroup struct {
	connect.Group
	id    string
	admin chan *kafka.Admin // holds the one Admin; whoever takes it uses it
}

var _ connect.Group = (*TabularGroup)(nil)

// NewTabularGroup makes the group id stand in for consumers. It alone uses admin.
func NewTabularGroup(consumers connect.Group, id string, admin *kafka.Admin) *TabularGroup {
	g := &TabularGroup{Group: consumers, id: id, admin: make(chan *kafka.Admin, 1)}
	g.admin <- admin
	return g
}

// ID is that of the sink's group.
func (g *TabularGroup) ID() string { return g.id }

// Committed reads the sink's group.
func (g *TabularGroup) Committed(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	admin := <-g.admin
	defer func() { g.admin <- admin }()
	return admin.GroupOffsets(ctx, g.id, parts, true)
}

// Commit moves the consumer group first: that one is fenced, and what a member of an old
// generation could say of the sink's group does not count.
func (g *TabularGroup) Commit(ctx context.Context, s connect.Session, offsets map[connect.TopicPartition]int64) error {
	if err := g.Group.Commit(ctx, s, offsets); err != nil {
		return err
	}
	admin := <-g.admin
	defer func() { g.admin <- admin }()
	if err := admin.AlterGroupOffsets(ctx, g.id, offsets); err != nil {
		return fmt.Errorf("commit offsets of group %s: %w", g.id, err)
	}
	return nil
}
