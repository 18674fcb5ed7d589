package iceberg

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

var errDisk = errors.New("disk full")

// TestTaskWhenAFileFails fails one call to the store, whichever it is: the task goes on, and
// each record is there once.
func TestTaskWhenAFileFails(t *testing.T) {
	for name, fail := range map[string]func(s *stage){
		"create": func(s *stage) {
			s.catalog.Files().Refuse(s.peek(orders).Location(), errDisk)
			time.AfterFunc(1500*time.Millisecond, func() { s.catalog.Files().Refuse(s.peek(orders).Location(), nil) })
		},
		"write": func(s *stage) { s.catalog.Files().FailWrite(1, errDisk) },
		"close": func(s *stage) { s.catalog.Files().FailClose(1, errDisk) },
	} {
		for kind, change := range map[string]func(map[string]string){"appended": nil, "keyed": func(c map[string]string) {
			c["iceberg.tables.upsert-mode-enabled"], c["iceberg.tables.default-id-columns"] = "true", "p,o"
			c["iceberg.tables.auto-create-props.format-version"] = "2"
		}} {
			t.Run(name+" "+kind, func(t *testing.T) {
				inStage(t, change, func(s *stage) {
					s.mustPoll(3 * time.Second)
					fail(s)
					s.produce(s.t.Context(), 20)
					s.mustPoll(15 * time.Second)
					s.exactlyOnce("orders")
					if n := s.catalog.Files().OpenWriters(); n != 0 {
						s.t.Errorf("%d files were left open", n)
					}
					if d := s.task.(*Task).tables["db.orders"]; d.unstored.err != nil {
						s.t.Errorf("the failure is remembered: %v", d.unstored.err)
					}
				})
			})
		}
	}
}

// TestTaskWithAnUnwritableTable has a store refuse the files of one table for long. The
// partition that routes to it waits, the others go on; after a while the status tells, and
// then it comes back.
func TestTaskWithAnUnwritableTable(t *testing.T) {
	inStage(t, byPartition, func(s *stage) {
		b := table.Identifier{"db", "b"}
		s.mustPoll(3 * time.Second)
		before := s.has("b", 1)
		s.catalog.Files().Refuse(s.peek(b).Location()+"/data/", errDisk)
		for range 4 {
			s.produce(s.t.Context(), 10)
			s.mustPoll(10 * time.Second)
		}
		if got := s.has("orders", 0); got != 80 || s.tc.Members.Offsets()[s.parts()[0]] != 80 {
			s.t.Errorf("%d records of partition 0 are there, group offset %d, want 80", got, s.tc.Members.Offsets()[s.parts()[0]])
		}
		if got := s.has("b", 1); got != before || s.tc.Members.Offsets()[s.parts()[1]] != int64(before) {
			s.t.Errorf("%d records of partition 1, %d before, group offset %d", got, before, s.tc.Members.Offsets()[s.parts()[1]])
		}
		if err := s.tc.Troubled(); err != nil {
			s.t.Errorf("trouble within the budget: %v", err)
		}
		created := s.catalog.Files().Created()
		s.mustPoll(3 * time.Minute)
		if n := s.catalog.Files().Created() - created; n > 5 {
			s.t.Errorf("%d files were begun in three minutes without a record", n)
		}
		if err := s.tc.Troubled(); err == nil || !strings.Contains(err.Error(), "files of table db.b cannot be stored since ") || !strings.Contains(err.Error(), "disk full") {
			s.t.Errorf("trouble %v, want what is wrong with db.b", err)
		}
		s.catalog.Files().Refuse(s.peek(b).Location()+"/data/", nil)
		s.mustPoll(70 * time.Second)
		if got := s.has("b", 1); got != 80 || s.tc.Members.Offsets()[s.parts()[1]] != 80 {
			s.t.Errorf("%d records of partition 1 after all, group offset %d, want 80", got, s.tc.Members.Offsets()[s.parts()[1]])
		}
		if err := s.tc.Troubled(); err != nil {
			s.t.Errorf("trouble is over, and told still: %v", err)
		}
	})
}

// TestTaskWithRefusedCredentials has the store refuse them: no error budget passes before
// the status tells. Given what they lack, the task goes on.
func TestTaskWithRefusedCredentials(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(3 * time.Second)
		data := s.peek(orders).Location() + "/data/"
		s.catalog.Files().Refuse(data, fs.ErrPermission)
		s.produce(s.t.Context(), 10)
		s.mustPoll(10 * time.Second)
		if err := s.tc.Troubled(); err == nil || !strings.Contains(err.Error(), "files of table db.orders cannot be stored since ") {
			s.t.Errorf("trouble %v, want what is wrong with db.orders", err)
		}
		s.catalog.Files().Refuse(data, nil)
		s.mustPoll(30 * time.Second)
		s.exactlyOnce("orders")
		if err := s.tc.Troubled(); err != nil {
			s.t.Errorf("trouble is over, and told still: %v", err)
		}
	})
}

// TestUnwritableTableMovesAway has the partition that waits for the store become another
// task's: then nothing is the trouble of this one.
func TestUnwritableTableMovesAway(t *testing.T) {
	inStage(t, byPartition, func(s *stage) {
		b := table.Identifier{"db", "b"}
		s.mustPoll(3 * time.Second)
		s.catalog.Files().Refuse(s.peek(b).Location()+"/data/", errDisk)
		s.produce(s.t.Context(), 10)
		s.mustPoll(5 * time.Minute)
		if s.tc.Troubled() == nil {
			s.t.Fatal("no trouble, the story asks for some")
		}
		gone := s.parts()[1:]
		if err := s.task.Close(s.t.Context(), gone, false); err != nil {
			s.t.Fatal(err)
		}
		s.tc.Parts = s.parts()[:1]
		s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: 2, Subscribed: s.parts(), Owned: s.parts()[:1]})
		s.mustPoll(3 * time.Second)
		if err := s.tc.Troubled(); err != nil {
			s.t.Errorf("trouble with what another task has: %v", err)
		}
	})
}
