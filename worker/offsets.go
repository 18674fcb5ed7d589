package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/topics"
)

// A heldGroup is a consumer group that holds offsets of a connector, and what reaches it.
type heldGroup struct {
	id    string
	admin *kafka.Admin
}

// withGroups lends f the groups that hold the offsets of a connector: its consumer group,
// which alone has members and refuses changes while it does, then the one that keeper
// names, if keeper is not nil.
func (h *Herder) withGroups(name string, config map[string]string, keeper connect.OffsetKeeper, f func(groups []heldGroup) error) (err error) {
	if config, err = h.cfg.providers.resolve(config); err != nil {
		return err
	}
	var groups []heldGroup
	defer func() {
		for _, g := range groups {
			err = errors.Join(err, g.admin.Close())
		}
	}()
	open := func(id string, props map[string]string) error {
		cfg, err := kafka.NewConfig(props, h.dial)
		if err != nil {
			return fmt.Errorf("configure admin client: %w", err)
		}
		admin, err := kafka.NewAdmin(cfg)
		if err != nil {
			return fmt.Errorf("open admin client: %w", err)
		}
		groups = append(groups, heldGroup{id, admin})
		return nil
	}
	consumers := h.cfg.sinkConsumer(name, 0, config)[keyGroupID]
	if err := open(consumers, h.cfg.admin("connector-worker-adminclient-"+name, config)); err != nil {
		return err
	}
	if keeper != nil {
		group, client, err := keeper.OffsetGroup(maps.Clone(config))
		if err != nil {
			return pluginError{err}
		}
		if group != "" && group != consumers {
			props := h.cfg.topLevel()
			maps.Copy(props, client)
			if err := open(group, props); err != nil {
				return err
			}
		}
	}
	return f(groups)
}

// Offsets are the committed offsets of a connector's consumer group.
func (h *Herder) Offsets(ctx context.Context, name string) (*entities.Offsets, error) {
	if err := h.loaded(ctx); err != nil {
		return nil, err
	}
	s := h.configs.Snapshot()
	if !s.Contains(name) {
		return nil, entities.NotFound("Connector " + name + " not found")
	}
	out := &entities.Offsets{Offsets: []entities.Offset{}}
	err := h.withGroups(name, s.Config(name), nil, func(groups []heldGroup) error {
		offsets, err := groups[0].admin.GroupOffsets(ctx, groups[0].id, nil, false)
		for _, tp := range slices.SortedFunc(maps.Keys(offsets), connect.TopicPartition.Compare) {
			out.Offsets = append(out.Offsets, entities.Offset{
				Partition: map[string]any{"kafka_partition": tp.Partition, "kafka_topic": tp.Topic},
				Offset:    map[string]any{"kafka_offset": offsets[tp]},
			})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("Failed to retrieve consumer group offsets for connector %s: %w", name, err) //nolint:staticcheck // Java's wording
	}
	return out, nil
}

// AlterOffsets changes the offsets of a stopped connector (KIP-875).
func (h *Herder) AlterOffsets(ctx context.Context, name string, given entities.Offsets) (*entities.Message, error) {
	if len(given.Offsets) == 0 {
		return nil, entities.BadRequest("Partitions / offsets need to be provided for an alter offsets request")
	}
	var wanted map[connect.TopicPartition]*int64
	return h.modify(ctx, name, "altered", func() (err error) {
		wanted, err = parseOffsets(given.Offsets)
		return err
	}, func(groups []heldGroup, plugin func(map[connect.TopicPartition]*int64) error) error {
		if err := plugin(wanted); err != nil {
			return err
		}
		for _, g := range groups {
			if err := alter(ctx, g.admin, g.id, wanted); err != nil {
				return err
			}
		}
		return nil
	})
}

func alter(ctx context.Context, admin *kafka.Admin, groupID string, wanted map[connect.TopicPartition]*int64) error {
	set := map[connect.TopicPartition]int64{}
	var reset []connect.TopicPartition
	for tp, offset := range wanted {
		if offset == nil {
			reset = append(reset, tp)
		} else {
			set[tp] = *offset
		}
	}
	if len(set) > 0 {
		if err := admin.AlterGroupOffsets(ctx, groupID, set); err != nil {
			return err
		}
	}
	if len(reset) > 0 {
		return admin.DeleteGroupOffsets(ctx, groupID, reset)
	}
	return nil
}

// ResetOffsets forgets the offsets of a stopped connector.
func (h *Herder) ResetOffsets(ctx context.Context, name string) (*entities.Message, error) {
	return h.modify(ctx, name, "reset", func() error { return nil }, func(groups []heldGroup, plugin func(map[connect.TopicPartition]*int64) error) error {
		all := map[connect.TopicPartition]*int64{}
		for _, g := range groups {
			offsets, err := g.admin.GroupOffsets(ctx, g.id, nil, false)
			if err != nil {
				return err
			}
			for tp := range offsets {
				all[tp] = nil
			}
		}
		if err := plugin(all); err != nil {
			return err
		}
		for _, g := range groups {
			if err := g.admin.DeleteGroup(ctx, g.id); err != nil && !errors.Is(err, kafka.ErrUnknownGroup) {
				return err
			}
		}
		return nil
	})
}

// A pluginError is the connector's own refusal of new offsets.
type pluginError struct{ error }

// modify checks that offsets may be changed and has it done, as one privileged write;
// done is the word for it in the answer.
func (h *Herder) modify(ctx context.Context, name, done string, parse func() error, do func(groups []heldGroup, plugin func(map[connect.TopicPartition]*int64) error) error) (*entities.Message, error) {
	var config map[string]string
	handled := false
	err := h.write(ctx, func(s clusterState) error {
		n, _ := s.TaskCount(name)
		switch {
		case !s.Contains(name):
			return entities.NotFound("Connector " + name + " not found")
		case s.TargetState(name) != topics.Stopped || n != 0:
			return entities.BadRequest("Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/" + name + "/stop' endpoint")
		}
		config = s.Config(name)
		return nil
	}, func(ctx context.Context) (err error) {
		if err := parse(); err != nil {
			return err
		}
		var hide *veil
		if config, hide, err = h.cfg.providers.reveal(config); err != nil {
			return err
		}
		defer func() { err = hide.err(err) }()
		_, newConnector, ok := h.plugins.connector(config[keyConnectorClass])
		if !ok {
			return h.plugins.unknownConnector(config[keyConnectorClass])
		}
		return contained(func() error {
			connector := newConnector()
			keeper, _ := connector.(connect.OffsetKeeper)
			return h.withGroups(name, config, keeper, func(groups []heldGroup) error {
				return do(groups, func(offsets map[connect.TopicPartition]*int64) (err error) {
					if handled, err = connector.AlterOffsets(ctx, maps.Clone(config), offsets); err != nil {
						return pluginError{err}
					}
					return nil
				})
			})
		})
	})
	if err != nil {
		return nil, modifyError(name, done, err)
	}
	if handled {
		return &entities.Message{Message: "The offsets for this connector have been " + done + " successfully"}, nil
	}
	return &entities.Message{Message: "The Connect framework-managed offsets for this connector have been " + done + " successfully. However, if this connector manages offsets externally, they will need to be manually " + done + " in the system that the connector uses."}, nil
}

// modifyError says what went wrong in Java's words; what the caller did wrong and where
// to ask instead stay as they are.
func modifyError(name, done string, err error) error {
	if _, ok := errors.AsType[*entities.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*entities.RedirectError](err); ok {
		return err
	}
	verb := "alter"
	if done == "reset" {
		verb = "reset"
	}
	if errors.Is(err, errNegativeOffset) {
		return entities.BadRequest("Failed to modify offsets for sink connector " + name + ": " + err.Error())
	}
	message := fmt.Sprintf("Failed to %s consumer group offsets for connector %s: %v", verb, name, err)
	switch p, ok := errors.AsType[pluginError](err); {
	case ok:
		message = fmt.Sprintf("Failed to modify offsets for sink connector %s: %v", name, p.error)
	case errors.Is(err, kafka.ErrGroupInUse):
		message = fmt.Sprintf("Failed to %s consumer group offsets for connector %s either because its tasks haven't stopped completely yet or the connector was resumed before the request to %s its offsets could be successfully completed. "+
			"If the connector is in a stopped state, this operation can be safely retried. If it doesn't eventually succeed, the Connect cluster may need to be restarted to get rid of the zombie sink tasks.", verb, name, verb)
	}
	return &entities.Error{Status: http.StatusInternalServerError, Message: message}
}

// parseOffsets reads the loose form of the API: numbers or numeric texts. Of equal
// partitions the last one counts. (Source: SinkUtils.parseSinkConnectorOffsets.)
func parseOffsets(given []entities.Offset) (map[connect.TopicPartition]*int64, error) {
	const partitionKeys = "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'"
	out := map[connect.TopicPartition]*int64{}
	for _, o := range given {
		if o.Partition == nil {
			return nil, entities.BadRequest("The partition for a sink connector offset cannot be null or missing")
		}
		topic, hasTopic := o.Partition["kafka_topic"]
		partition, hasPartition := o.Partition["kafka_partition"]
		switch {
		case !hasTopic || !hasPartition:
			return nil, entities.BadRequest(partitionKeys)
		case topic == nil:
			return nil, entities.BadRequest("Kafka topic names must be valid strings and may not be null")
		case partition == nil:
			return nil, entities.BadRequest("Kafka partitions must be valid numbers and may not be null")
		}
		p, err := number(partition)
		if err != nil || p < math.MinInt32 || p > math.MaxInt32 {
			return nil, entities.BadRequest(fmt.Sprintf("Failed to parse the following Kafka partition value in the provided offsets: '%v'. Partition values for sink connectors need to be integers.", partition))
		}
		tp := connect.TopicPartition{Topic: fmt.Sprint(topic), Partition: int32(p)}
		if o.Offset == nil {
			out[tp] = nil
			continue
		}
		value, ok := o.Offset["kafka_offset"]
		if !ok || value == nil {
			return nil, entities.BadRequest("The offset for a sink connector should either be null or contain the key 'kafka_offset'")
		}
		n, err := number(value)
		if err != nil {
			return nil, entities.BadRequest(fmt.Sprintf("Failed to parse the following Kafka offset value in the provided offsets: '%v'. Offset values for sink connectors need to be integers.", value))
		}
		if n < 0 {
			return nil, errNegativeOffset
		}
		out[tp] = &n
	}
	return out, nil
}

var errNegativeOffset = errors.New("negative offset")

// number reads a JSON number (json.Number) or a numeric text.
func number(v any) (int64, error) {
	return strconv.ParseInt(strings.TrimSpace(fmt.Sprint(v)), 10, 64)
}
