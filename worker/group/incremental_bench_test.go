package group

import (
	"strconv"
	"testing"
	"time"
)

// A round of a large group: 50 workers, 500 connectors, 5,000 tasks.
func BenchmarkIncremental(b *testing.B) {
	tasks := make(map[string]int)
	for i := range 500 {
		tasks["connector-"+strconv.Itoa(i)] = 10
	}
	config := configured(tasks)
	c := newCluster(time.Minute)
	for i := range 50 {
		c.held["worker-"+strconv.Itoa(i)] = Work{}
	}
	for b.Loop() {
		c.round(config)
	}
}
