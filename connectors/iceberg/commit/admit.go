package commit

import (
	"context"
	"time"

	"github.com/firn-io/firn/connect"
)

// Records are fetched by the topic's name. When a topic is deleted and created again, a task
// may read the new one's records for a while and take them for the old one's: offsets of
// both begin at 0. They would be in the tables under the old topic's floors, and a second
// time, under its own, once the new topic is seen. So a unit is not accepted before the ids
// of its topics have been looked up after it was announced: a topic that has the unit's id
// before and after its records were read had it all the time.

// admit has the topics looked up of the units that arrived, and offers them to the ledger.
func (c *Coordinator) admit(ctx context.Context) {
	n := len(c.arrived)
	if n == 0 {
		return
	}
	var parts []connect.TopicPartition
	for _, u := range c.arrived {
		for _, r := range u.Ranges {
			if !r.Empty() {
				parts = append(parts, r.TopicPartition)
			}
		}
	}
	c.start(ctx, &c.jobs.admit, "looking up the topics of announced ranges", func(ctx context.Context) (func() error, error) {
		ids, err := topicIDs(ctx, c.cfg.Broker, parts)
		return func() error {
			for _, u := range c.arrived[:n] {
				c.admitted(u, ids)
			}
			c.arrived = c.arrived[n:]
			return nil
		}, err
	})
}

func (c *Coordinator) admitted(u *Unit, ids map[string]TopicID) {
	for _, r := range u.Ranges {
		// Of a topic that is gone nothing can be read a second time.
		if id, there := ids[r.Topic]; there && !r.Empty() && r.TopicID != (TopicID{}) && id != r.TopicID {
			c.cfg.Logger.Info("a unit may have records of a topic that was created anew", "unit", u.ID, "partition", r.String())
			c.dirty, c.nextCheck = true, time.Time{}
			return
		}
	}
	c.offer(u)
}
