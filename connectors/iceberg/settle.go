package iceberg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/route"
	"github.com/firn-io/firn/internal/kafka"
)

// A Settler compares the tables of a stopped connector with its group's offsets. After a
// clean stop no table is ahead. After a crash one may be: Firn knows and filters, but a
// Java sink would write the rows again.
type Settler struct {
	cfg     *config
	router  *route.Router
	catalog catalog.Catalog
	admin   *kafka.Admin
	groups  []string // whose offsets are the connector's; the first one counts
	tables  int
}

// Settler opens the catalog. Admin is used until Close, which does not close it; consumers
// is the connector's consumer group.
func (c *Connector) Settler(ctx context.Context, raw map[string]string, consumers string, admin *kafka.Admin) (*Settler, error) {
	s := &Settler{admin: admin, groups: []string{consumers}}
	var err error
	if s.cfg, err = parseConfig(raw); err != nil {
		return nil, err
	}
	if s.router, err = route.Parse(raw); err != nil {
		return nil, err
	}
	if id := s.cfg.identity(); id.Tabular && id.Group != consumers {
		s.groups = []string{id.Group, consumers}
	}
	if s.catalog, err = c.catalogOpener()(ctx, s.cfg.catalogName, s.cfg.catalogProps); err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", s.cfg.catalogName, err)
	}
	return s, nil
}

// Close closes the catalog.
func (s *Settler) Close() error { return s.catalog.Close() }

// CoordinatorGroup is the group of the coordinator that a Java sink of this config has: its
// members are at work as long as the sink is.
func (c *Connector) CoordinatorGroup(raw map[string]string) (string, error) {
	cfg, err := parseConfig(raw)
	if err != nil {
		return "", err
	}
	return commit.CoordinatorGroup(cfg.identity()), nil
}

// A Standing is one partition's: where the group is, and the tables.
type Standing struct {
	connect.TopicPartition
	Offset int64            // of the group; -1 for none
	Tables map[string]int64 // floors, by table; those without one are left out
}

// Ahead is the greatest floor above the group's offset, -1 if there is none.
func (s Standing) Ahead() int64 {
	ahead := int64(-1)
	for _, f := range s.Tables {
		if f > s.Offset {
			ahead = max(ahead, f)
		}
	}
	return ahead
}

// Standings reads the group's offsets and the floors of the tables that are known from the
// config. all is false if there may be others, whose names come from records.
func (s *Settler) Standings(ctx context.Context) (out []Standing, all bool, err error) {
	if err := s.nobody(ctx); err != nil {
		return nil, false, err
	}
	offsets, err := s.admin.GroupOffsets(ctx, s.groups[0], nil, true)
	if err != nil {
		return nil, false, err
	}
	byPartition := make(map[connect.TopicPartition]*Standing)
	at := func(tp connect.TopicPartition) *Standing {
		st := byPartition[tp]
		if st == nil {
			st = &Standing{TopicPartition: tp, Offset: -1, Tables: map[string]int64{}}
			byPartition[tp] = st
		}
		return st
	}
	for tp, next := range offsets {
		at(tp).Offset = next
	}
	topics := make(map[string]bool)
	for tp := range offsets {
		topics[tp.Topic] = true
	}
	known, all := s.router.Known(slices.Sorted(maps.Keys(topics)))
	s.tables = len(known)
	for _, ident := range known {
		target := s.cfg.target(strings.Join(ident, "."))
		floors, err := s.floors(ctx, target)
		if err != nil {
			return nil, false, err
		}
		for tp, f := range floors {
			at(tp).Tables[target.Table] = f
		}
	}
	for _, tp := range slices.SortedFunc(maps.Keys(byPartition), connect.TopicPartition.Compare) {
		out = append(out, *byPartition[tp])
	}
	return out, all, nil
}

// nobody checks that the connector is stopped everywhere.
func (s *Settler) nobody(ctx context.Context) error {
	for _, group := range s.groups {
		info, err := s.admin.DescribeGroup(ctx, group)
		switch {
		case errors.Is(err, kafka.ErrUnknownGroup):
		case err != nil:
			return err
		case len(info.Members) > 0:
			return fmt.Errorf("%w: %d members of %s are at work; stop the connector (a worker that was killed counts until its session timeout is over)", kafka.ErrGroupInUse, len(info.Members), group)
		}
	}
	return nil
}

// floors are those of the topics as they are now.
func (s *Settler) floors(ctx context.Context, target commit.Target) (map[connect.TopicPartition]int64, error) {
	floors, err := commit.LoadFloors(ctx, s.catalog, target)
	if err != nil {
		return nil, err
	}
	var topics []string
	for source := range floors {
		topics = append(topics, source.Topic)
	}
	out := make(map[connect.TopicPartition]int64)
	if len(topics) == 0 {
		return out, nil
	}
	infos, err := s.admin.Topics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	group := s.cfg.identity().Group
	for source, f := range floors {
		if source.Group == group && f.F != commit.None && infos[source.Topic].ID == source.TopicID {
			out[connect.TopicPartition{Topic: source.Topic, Partition: source.Partition}] = f.F
		}
	}
	return out, nil
}

// Forward moves the group's offsets to the floors of the connector's table, which is
// right only if it has but one: then its floors say that all is done below them.
func (s *Settler) Forward(ctx context.Context, standings []Standing) error {
	offsets := make(map[connect.TopicPartition]int64)
	for _, st := range standings {
		if ahead := st.Ahead(); ahead >= 0 {
			offsets[st.TopicPartition] = ahead
		}
	}
	for _, group := range slices.Backward(s.groups) {
		if err := s.admin.AlterGroupOffsets(ctx, group, offsets); err != nil {
			return err
		}
	}
	return nil
}

// Tables is how many tables the last Standings knew.
func (s *Settler) Tables() int { return s.tables }

// Goal is the source offsets to which the connector must have come so that no table is ahead: the
// floors if all tables are known, else the ends of the topics' partitions now.
func (s *Settler) Goal(ctx context.Context, standings []Standing, all bool) (map[connect.TopicPartition]int64, error) {
	goal := make(map[connect.TopicPartition]int64)
	var tps []connect.TopicPartition
	for _, st := range standings {
		if ahead := st.Ahead(); ahead >= 0 {
			goal[st.TopicPartition] = ahead
		}
		tps = append(tps, st.TopicPartition)
	}
	if all || len(tps) == 0 {
		return goal, nil
	}
	return s.admin.Offsets(ctx, tps, kafka.Latest)
}

// Reached tells whether the group has come to goal.
func (s *Settler) Reached(ctx context.Context, goal map[connect.TopicPartition]int64) (bool, error) {
	offsets, err := s.admin.GroupOffsets(ctx, s.groups[0], nil, true)
	if err != nil {
		return false, err
	}
	for tp, next := range goal {
		if offsets[tp] < next {
			return false, nil
		}
	}
	return true, nil
}
