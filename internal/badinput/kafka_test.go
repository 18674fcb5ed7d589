package badinput

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

// TestBrokerDownAtStart: the worker says so soon, goes on when the broker comes, and gives
// up when it does not.
func TestBrokerDownAtStart(t *testing.T) {
	t.Run("for a while", func(t *testing.T) {
		prepare(t, func(s *scene) {
			s.brokers(false)
			s.start()
			s.warned(10*time.Second, "Kafka does not answer yet; trying on", "bootstrap.servers="+s.servers, "connection refused")
			if status, text := s.call(http.MethodGet, "/health", nil, nil); status != http.StatusServiceUnavailable {
				s.Errorf("health: got %d %s, want 503", status, text)
			}
			time.Sleep(20 * time.Second)
			s.brokers(true)
			s.eventually(soon, func() string {
				status, text := s.call(http.MethodGet, "/health", nil, nil)
				if status != http.StatusOK {
					return text
				}
				return ""
			})
			s.produce("events", numbers(1, 3)...)
			s.create(nil)
			s.rows(3)
		})
	})
	t.Run("for good", func(t *testing.T) {
		prepare(t, func(s *scene) {
			s.brokers(false)
			s.start()
			select {
			case <-s.ended:
			case <-time.After(2 * time.Minute):
				s.Fatal("the worker goes on without Kafka")
			}
			want := "Failed to connect to and describe Kafka cluster. Check worker's broker connection and security properties: "
			if s.err == nil || !strings.HasPrefix(s.err.Error(), want) || !strings.Contains(s.err.Error(), "connection refused") {
				s.Errorf("the worker ended with %v, want %s", s.err, want)
			}
			s.Log(s.err)
		})
	})
}

// TestBrokerAway takes the only broker away for a short and for a long time.
func TestBrokerAway(t *testing.T) {
	for _, away := range []time.Duration{5 * time.Second, 10 * time.Minute} {
		t.Run(away.String(), func(t *testing.T) {
			play(t, func(s *scene) {
				s.create(nil)
				s.produce("events", numbers(1, 3)...)
				s.rows(3)
				s.produce("events", numbers(4, 6)...)
				time.Sleep(500 * time.Millisecond)
				s.brokers(false)
				s.produce("events", numbers(7, 9)...)
				if away > time.Minute {
					s.warned(time.Minute, "Group membership lost", "connection refused")
				}
				time.Sleep(away)
				s.brokers(true)
				s.rows(9)
				s.running()
			})
		})
	}
}

// TestTopicRecreated: what the old topic had and the table has stays, and every record of
// the new one is new, though its offsets are those of old records.
func TestTopicRecreated(t *testing.T) {
	for _, tt := range []struct {
		name string
		gone time.Duration
		n    int // records in the new topic at once
	}{
		{"at once", 0, 3},
		{"at once, and longer", 0, 40},
		{"soon", 2 * time.Second, 3},
		{"soon, and longer", 2 * time.Second, 40},
		{"after a while", 2 * time.Minute, 3},
		{"after a while, and longer", 2 * time.Minute, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.create(nil)
				s.produce("events", numbers(1, 5)...)
				s.rows(5)
				admin, err := kafka.NewAdmin(s.own())
				if err != nil {
					s.Fatal(err)
				}
				defer admin.Close() //nolint:errcheck // the test's own
				if err := admin.DeleteTopic(s.Context(), "events"); err != nil {
					s.Fatal(err)
				}
				time.Sleep(tt.gone)
				if err := admin.CreateTopic(s.Context(), kafka.TopicSpec{Name: "events", Partitions: 1, ReplicationFactor: 1}); err != nil {
					s.Fatal(err)
				}
				s.produce("events", numbers(6, 5+tt.n)...)
				s.rows(5 + tt.n)
				s.produce("events", numbers(6+tt.n, 60)...)
				s.rows(60)
				s.running()
			})
		})
	}
}
