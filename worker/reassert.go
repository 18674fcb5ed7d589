package worker

import (
	"time"

	"github.com/firn-io/firn/worker/topics"
)

// reassertEvery is how soon a status that hides the truth is put right.
const reassertEvery = 5 * time.Second

// overruledLooks is how often in a row a later generation's status is believed.
const overruledLooks = 3

// said notes what a unit has reported last.
func (u *unit) said(s topics.Status) { u.last.Store(&s) }

// reassert reports again what runs here if the status topic says otherwise. A worker that
// was cut off and has lost its work writes UNASSIGNED when it is back, perhaps before it
// has read what the new owner wrote meanwhile; a worker in Java does that too, and then a
// connector shows as unassigned for as long as it runs well.
func (h *Herder) reassert() {
	if h.assigned == nil || !h.synced || h.joining || h.ending {
		return
	}
	for name, run := range h.connectors {
		if old, known := h.statuses.Connector(name); h.hidden(&run.unit, old, known) {
			h.statuses.PutConnector(name, h.again(&run.unit))
		}
	}
	for id, run := range h.tasks {
		if old, known := h.statuses.Task(id); h.hidden(&run.unit, old, known) {
			h.statuses.PutTask(id, h.again(&run.unit))
		}
	}
}

// hidden tells whether old is in the place of what a unit has to say, or nothing is, after
// the tombstone of a worker that knows an older configuration. A worker of a later
// generation knows better than this one, which will hear of it; if that takes several
// looks, the generation was not of this group: a worker that outlived its Kafka cluster
// brings it to the next one, where generations begin again.
func (h *Herder) hidden(u *unit, old topics.Status, known bool) bool {
	last := u.last.Load()
	if last == nil || u.stopping {
		return false
	}
	if known && old.State == last.State && old.Worker == h.id {
		u.overruled = 0
		return false
	}
	if !known || old.Generation <= h.generation.Load() {
		return true
	}
	u.overruled++
	return u.overruled > overruledLooks
}

func (h *Herder) again(u *unit) topics.Status {
	last := u.last.Load()
	return h.status(last.State, last.Version, last.Trace)
}
