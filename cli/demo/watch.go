package demo

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/internal/kafka"
)

// A view is what watch has learnt: it belongs to its goroutine.
type view struct {
	lag  map[string]int64 // by topic: log end minus the connector's offset
	in   int64            // records written to the topics
	out  int64            // records whose rows are in the tables
	done bool             // all written, no lag
}

// watch shows the progress until everything written has arrived.
func watch(ctx context.Context, cfg Config, client *kafka.Config, worker *connectapi.Client) error {
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // it only read
	if err := awaitRunning(ctx, cfg, worker); err != nil {
		return err
	}
	show := newProgress(cfg)
	for {
		v, err := look(ctx, admin, worker)
		if err != nil {
			return err
		}
		show.update(v, time.Now())
		if v.done {
			return nil
		}
		if err := failed(ctx, cfg, worker); err != nil {
			return err
		}
		if !connectapi.Pause(ctx, 250*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// look asks the broker for the ends and the worker for the offsets.
func look(ctx context.Context, admin *kafka.Admin, worker *connectapi.Client) (view, error) {
	v := view{lag: map[string]int64{}, done: true}
	for _, s := range sources {
		ends, err := admin.Offsets(ctx, s.partitionsOf(), kafka.Latest)
		if err != nil {
			return v, fmt.Errorf("read the end of topic %s: %w", s.topic, err)
		}
		committed, err := worker.Offsets(ctx, s.topic)
		if err != nil {
			return v, err
		}
		in, lag := int64(0), int64(0)
		for tp, end := range ends {
			in += end
			lag += end - committed[tp]
		}
		v.in, v.out, v.lag[s.topic] = v.in+in, v.out+in-lag, lag
		v.done = v.done && in >= s.rows && lag == 0
	}
	return v, nil
}

// awaitRunning waits until every connector and its tasks run on this worker: the
// states an earlier run left behind do not count.
func awaitRunning(ctx context.Context, cfg Config, worker *connectapi.Client) error {
	for _, s := range sources {
		for {
			st, err := worker.Status(ctx, s.topic)
			if err != nil && !connectapi.IsStatus(err, http.StatusNotFound) {
				return err
			}
			if st.Running(cfg.WorkerID) {
				cfg.say("connector %s is RUNNING with %d task(s)\n", s.topic, len(st.Tasks))
				break
			}
			if err := st.Failure(cfg.WorkerID); err != nil {
				return err
			}
			if !connectapi.Pause(ctx, 100*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// failed looks for a connector that cannot go on.
func failed(ctx context.Context, cfg Config, worker *connectapi.Client) error {
	for _, s := range sources {
		st, err := worker.Status(ctx, s.topic)
		if err != nil {
			return err
		}
		if err := st.Failure(cfg.WorkerID); err != nil {
			return err
		}
	}
	return nil
}
