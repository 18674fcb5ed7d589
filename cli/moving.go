package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg"
)

// A moving is the work of firn migrate. After look nothing has been changed; run undoes
// what it has begun and cannot finish.
type moving struct {
	name, state string // the state it shall have in the end; "" for the one it has
	remove      bool
	from, to    *connectapi.Client
	kafka       func(ctx context.Context, config map[string]string) (movedGroup, error)
	patience    time.Duration
	log         *slog.Logger
	tell        func(step string) // progress, a line each

	config    map[string]string
	group     movedGroup
	was       string // its state at from
	known     bool   // it is stopped at to already, from an earlier move
	javaGets  bool   // what Firn leaves, and has to be settled for it
	javaGives bool
	before    map[connect.TopicPartition]int64
	report    *moveReport
}

const moveAgain = 300 * time.Millisecond // between two looks at a REST API

// run moves the connector. There is no report if it could not even be looked at.
func (m *moving) run(ctx context.Context, look bool) (*moveReport, error) {
	m.report = &moveReport{Connector: m.name, From: m.from.Base, To: m.to.Base, Steps: []string{}, Offsets: []moveOffset{}}
	err := m.look(ctx)
	if m.group != nil {
		defer m.group.Close() //nolint:errcheck // it only reads
	}
	if err != nil {
		return nil, err
	}
	if look {
		m.report.Message = fmt.Sprintf("connector %s can be moved from %s to %s, where it would be %s", m.name, m.from.Base, m.to.Base, m.state)
		return m.report, nil
	}
	if err := m.move(ctx); err != nil {
		return m.report, m.undo(ctx, err)
	}
	m.report.Moved = true
	m.report.Message = fmt.Sprintf("connector %s is %s at %s", m.name, m.state, m.to.Base)
	if !m.remove {
		m.report.Message += fmt.Sprintf("; at %s it is STOPPED, for the way back (firn migrate --from %s --to %s)", m.from.Base, m.to.Base, m.from.Base)
	}
	return m.report, nil
}

func (m *moving) step(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	m.report.Steps = append(m.report.Steps, text)
	m.tell(text)
}

// look finds out whether the connector can be moved.
func (m *moving) look(ctx context.Context) error {
	if err := m.sameKafka(ctx); err != nil {
		return err
	}
	var err error
	if m.config, err = m.from.Config(ctx, m.name); connectapi.IsStatus(err, http.StatusNotFound) {
		return notFound(m.name, m.from.Base)
	} else if err != nil {
		return startError(err)
	}
	st, err := m.from.Status(ctx, m.name)
	if err != nil {
		return startError(err)
	}
	m.was = shortState(st.Connector.State)
	m.report.State = m.was
	if err := m.there(ctx); err != nil {
		return err
	}
	switch m.state {
	case "":
		m.state = m.was
	case "RUNNING", "PAUSED", "STOPPED":
	default:
		return configError(fmt.Errorf("--state %s is none of RUNNING, PAUSED and STOPPED", m.state))
	}
	wrong, err := m.to.Validate(ctx, m.config)
	switch {
	case connectapi.IsStatus(err, http.StatusNotFound), connectapi.IsStatus(err, http.StatusBadRequest):
		return configError(err) // no such class
	case err != nil:
		return startError(err)
	case len(wrong) > 0:
		return configError(fmt.Errorf("the config of %s is not valid at %s:\n  %s", m.name, m.to.Base, strings.Join(wrong, "\n  ")))
	}
	if m.group, err = m.kafka(ctx, m.config); err != nil {
		return err
	}
	if _, err := m.group.Members(ctx); err != nil {
		return startError(err)
	}
	return nil
}

// sameKafka refuses clusters whose offsets have nothing to do with each other.
func (m *moving) sameKafka(ctx context.Context) error {
	var ids [2]string
	var firn [2]bool
	for i, api := range []*connectapi.Client{m.from, m.to} {
		var root struct {
			Cluster string `json:"kafka_cluster_id"`
		}
		err := api.Call(ctx, http.MethodGet, "/", nil, &root)
		if err == nil {
			firn[i], err = isFirn(ctx, api)
		}
		if err != nil {
			return startError(err)
		}
		ids[i] = root.Cluster
	}
	if ids[0] != ids[1] {
		return configError(fmt.Errorf("%s works on Kafka cluster %s, %s on %s: offsets and topics of one mean nothing in the other", m.from.Base, ids[0], m.to.Base, ids[1]))
	}
	m.javaGets, m.javaGives = firn[0] && !firn[1], !firn[0] && firn[1]
	return nil
}

// there looks whether the other cluster has the connector.
func (m *moving) there(ctx context.Context) error {
	st, err := m.to.Status(ctx, m.name)
	state := shortState(st.Connector.State)
	switch {
	case connectapi.IsStatus(err, http.StatusNotFound):
		return nil
	case err != nil:
		return startError(err)
	case state != "STOPPED":
		return configError(fmt.Errorf("connector %s is %s at %s, too. If both URLs are of one Connect cluster, there is nothing to move: stop its Java workers one after another. If not, stop it at one of them first", m.name, state, m.to.Base))
	case m.was == "STOPPED" && m.state == "":
		return configError(fmt.Errorf("connector %s is STOPPED at %s and at %s: say with --state what it shall be", m.name, m.from.Base, m.to.Base))
	}
	m.known = true
	return nil
}

// move does all that changes something.
func (m *moving) move(ctx context.Context) error {
	m.step("stopping %s at %s", m.name, m.from.Base)
	if err := m.stop(ctx, m.from); err != nil {
		return err
	}
	if m.javaGets {
		m.step("settling: the offsets have to be where the tables are")
		if err := m.group.Settle(ctx); err != nil {
			return err
		}
	}
	var err error
	if m.before, err = m.from.Offsets(ctx, m.name); err != nil {
		return err
	}
	m.step("creating it at %s, stopped", m.to.Base)
	if err := m.create(ctx); err != nil {
		return err
	}
	if m.state != "STOPPED" {
		m.step("letting it be %s there", m.state)
		if err := m.steer(ctx, m.to, m.state); err != nil {
			return err
		}
	}
	if m.state == "RUNNING" {
		if err := m.proceeds(ctx); err != nil {
			return err
		}
	}
	if err := m.note(ctx); err != nil {
		return err
	}
	if m.remove {
		m.step("deleting it at %s", m.from.Base)
		return m.ask(ctx, func(ctx context.Context) error { return m.from.Delete(ctx, m.name) })
	}
	return nil
}

// stop returns when the connector is stopped at api and its group has no members.
func (m *moving) stop(ctx context.Context, api *connectapi.Client) error {
	if err := m.steer(ctx, api, "STOPPED"); err != nil {
		return err
	}
	said := time.Now()
	return m.await(ctx, "its consumer group has members", func(ctx context.Context) (bool, error) {
		n, err := m.group.Members(ctx)
		if err == nil && n > 0 && time.Since(said) > 10*time.Second {
			said = time.Now()
			m.step("waiting for %d members to leave its consumer group", n)
		}
		return n == 0, err
	})
}

// steer has a connector be in a state.
func (m *moving) steer(ctx context.Context, api *connectapi.Client, state string) error {
	verb := map[string]string{"RUNNING": "resume", "PAUSED": "pause", "STOPPED": "stop"}[state]
	if err := m.ask(ctx, func(ctx context.Context) error { return api.Steer(ctx, m.name, verb) }); err != nil {
		return err
	}
	return m.await(ctx, "it is not "+state+" at "+api.Base, func(ctx context.Context) (bool, error) {
		st, err := api.Status(ctx, m.name)
		if connectapi.IsStatus(err, http.StatusNotFound) {
			return false, nil // not all workers have heard of it
		}
		if err != nil {
			return false, err
		}
		for _, s := range append(st.Tasks, st.Connector) {
			if s.State == "FAILED" && state == "RUNNING" {
				return false, &connectapi.FailedError{What: m.name + " at " + api.Base, Trace: s.Trace}
			}
			if s.State != state {
				return false, nil
			}
		}
		return state == "STOPPED" && len(st.Tasks) == 0 || state != "STOPPED" && len(st.Tasks) > 0, nil
	})
}

// create makes the connector at to, stopped, and looks whether its offsets are the same.
func (m *moving) create(ctx context.Context) error {
	conn := connectapi.Connector{Name: m.name, Config: m.config}
	err := m.ask(ctx, func(ctx context.Context) error {
		if m.known {
			return m.to.Configure(ctx, conn)
		}
		conn.State = "STOPPED"
		return m.to.Create(ctx, conn)
	})
	if err != nil {
		return err
	}
	return m.await(ctx, "its offsets cannot be seen at "+m.to.Base, func(ctx context.Context) (bool, error) {
		seen, err := m.to.Offsets(ctx, m.name)
		if connectapi.IsStatus(err, http.StatusNotFound) {
			return false, nil // it is not there yet
		}
		if err == nil && m.config["connector.class"] != iceberg.TabularClass && !maps.Equal(seen, m.before) { // Tabular's are kept in two groups
			err = fmt.Errorf("the offsets are %v at %s, and %v at %s: are topics or consumer groups other ones (consumer.override.group.id, worker's consumer.group.id)?", m.before, m.from.Base, seen, m.to.Base)
		}
		return err == nil, err
	})
}

// proceeds returns when an offset has moved, or there is nothing to read.
func (m *moving) proceeds(ctx context.Context) error {
	parts := slices.SortedFunc(maps.Keys(m.before), connect.TopicPartition.Compare)
	if len(parts) == 0 {
		return nil
	}
	ends, err := m.group.Ends(ctx, parts)
	if err != nil {
		return err
	}
	if maps.Equal(ends, m.before) {
		return nil
	}
	m.step("waiting for its offsets to move on")
	return m.await(ctx, "its offsets do not move at "+m.to.Base, func(ctx context.Context) (bool, error) {
		now, err := m.to.Offsets(ctx, m.name)
		if err != nil {
			return false, err
		}
		moved := false
		for tp, next := range now {
			if next < m.before[tp] {
				return false, fmt.Errorf("the offset of %s went back from %d to %d", tp, m.before[tp], next)
			}
			moved = moved || next > m.before[tp]
		}
		st, err := m.to.Status(ctx, m.name)
		if err != nil {
			return false, err
		}
		for _, t := range st.Tasks {
			if t.State == "FAILED" {
				return false, &connectapi.FailedError{What: fmt.Sprintf("task %d of %s at %s", t.ID, m.name, m.to.Base), Trace: t.Trace}
			}
		}
		return moved, nil
	})
}

func (m *moving) note(ctx context.Context) error {
	now, err := m.to.Offsets(ctx, m.name)
	for _, tp := range slices.SortedFunc(maps.Keys(now), connect.TopicPartition.Compare) {
		before, ok := m.before[tp]
		if !ok {
			before = -1
		}
		m.report.Offsets = append(m.report.Offsets, moveOffset{tp.Topic, tp.Partition, before, now[tp]})
	}
	return err
}

// undo puts the connector back after cause.
func (m *moving) undo(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		m.report.Message = fmt.Sprintf("interrupted: connector %s was %s at %s; see where it is before you go on", m.name, m.was, m.from.Base)
		return fmt.Errorf("migrate %s: interrupted: %w", m.name, cause)
	}
	m.step("it does not work (%v): putting it back", cause)
	if err := m.putBack(ctx); err != nil {
		m.report.Message = fmt.Sprintf("connector %s was not moved (%v), and could not be put back: %v. At %s it was %s", m.name, cause, err, m.from.Base, m.was)
		return fmt.Errorf("migrate %s: %w", m.name, errors.Join(cause, err))
	}
	m.report.PutBack = true
	m.report.Message = fmt.Sprintf("connector %s was not moved, and is %s at %s as before: %v", m.name, m.was, m.from.Base, cause)
	return fmt.Errorf("migrate %s: put back: %w", m.name, cause)
}

func (m *moving) putBack(ctx context.Context) error {
	_, err := m.to.Status(ctx, m.name)
	switch {
	case connectapi.IsStatus(err, http.StatusNotFound): // it was never created
	case err != nil:
		return err
	default:
		if err := m.stop(ctx, m.to); err != nil {
			return err
		}
		if m.javaGives && m.before != nil {
			if err := m.group.Settle(ctx); err != nil {
				return err
			}
		}
		if !m.known {
			if err := m.ask(ctx, func(ctx context.Context) error { return m.to.Delete(ctx, m.name) }); err != nil {
				return err
			}
		}
	}
	return m.steer(ctx, m.from, m.was)
}

// ask repeats a request as long as the cluster rebalances.
func (m *moving) ask(ctx context.Context, request func(ctx context.Context) error) error {
	return m.await(ctx, "the cluster rebalances", func(ctx context.Context) (bool, error) {
		err := request(ctx)
		return err == nil, err
	})
}

// await waits for done, and says what was in the way if that takes too long.
func (m *moving) await(ctx context.Context, obstacle string, done func(ctx context.Context) (bool, error)) error {
	limited, cancel := context.WithTimeout(ctx, m.patience)
	defer cancel()
	for {
		ok, err := done(limited)
		if connectapi.IsStatus(err, http.StatusConflict) && !strings.Contains(err.Error(), "already exists") {
			obstacle, err = err.Error(), nil // the cluster rebalances
		}
		if ok || err != nil {
			return err
		}
		if !connectapi.Pause(limited, moveAgain) {
			return fmt.Errorf("after %s %s", m.patience, obstacle)
		}
	}
}
