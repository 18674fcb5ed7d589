package badinput

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

var errCatalogDown = errors.New("dial tcp catalog:80: connect: connection refused")

const longTrouble = 5 * time.Minute // until which a status must tell of it

func (s *scene) catalogDown() {
	s.catalog.Chaos(func(icetest.Op, int) icetest.Fault { return icetest.Fault{Before: errCatalogDown} })
}

// TestCatalogAwayAtCreation: the connector is not made.
func TestCatalogAwayAtCreation(t *testing.T) {
	play(t, func(s *scene) {
		s.catalogDown()
		s.refuse(nil, http.StatusBadRequest, "Invalid value iceberg for configuration iceberg.catalog: the catalog, or its storage, cannot be used: list namespaces: "+errCatalogDown.Error())
		s.catalog.Chaos(nil)
		s.produce("events", numbers(1, 3)...)
		s.create(nil)
		s.rows(3)
	})
}

// TestCatalogAway: records wait for the catalog, as long as it takes, and the status says so
// meanwhile.
func TestCatalogAway(t *testing.T) {
	for name, restart := range map[string]bool{"mid-way": false, "at a restart": true} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.create(nil)
				s.produce("events", numbers(1, 3)...)
				s.rows(3)
				s.catalogDown()
				if restart {
					s.restartAll()
				}
				s.produce("events", numbers(4, 6)...)
				s.troubled(longTrouble, "db.events", "connection refused")
				time.Sleep(10 * time.Minute)
				s.catalog.Chaos(nil)
				s.rows(6)
				s.running()
			})
		})
	}
}

// TestQuietStart: waiting for the first load of a table is nothing to warn of.
func TestQuietStart(t *testing.T) {
	play(t, func(s *scene) {
		s.produce("events", numbers(1, 3)...)
		s.create(nil)
		s.rows(3)
		if s.log.has("WARN") {
			s.Error("there are warnings although nothing was wrong")
		}
	})
}

// TestNoSuchCatalog has catalogs that cannot be opened.
func TestNoSuchCatalog(t *testing.T) {
	for reason, config := range map[string]map[string]string{
		"cannot be used: open catalog iceberg: ": {"iceberg.catalog.type": "sql", "iceberg.catalog.uri": "sqlite:////no/such/dir/catalog.db"},
		"hive":                                   {"iceberg.catalog.type": "hive"},
	} {
		prepare(t, func(s *scene) {
			s.onDisk(config)
			s.start()
			s.refuse(config, http.StatusBadRequest, reason)
		})
	}
}

// TestWarehouseNotWritable is on real files and a real SQL catalog: first when the connector
// is to be made, then when its table is.
func TestWarehouseNotWritable(t *testing.T) {
	dir := t.TempDir()
	warehouse := filepath.Join(dir, "wh")
	block := func() {
		if err := os.RemoveAll(warehouse); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(warehouse, nil, 0o600); err != nil { // where a directory should be
			t.Fatal(err)
		}
	}
	free := func() {
		if err := os.Remove(warehouse); err != nil {
			t.Fatal(err)
		}
	}
	config := map[string]string{"iceberg.catalog.type": "sql", "iceberg.catalog.uri": "sqlite:///" + filepath.Join(dir, "catalog.db"), "iceberg.catalog.warehouse": "file://" + warehouse}
	prepare(t, func(s *scene) {
		s.onDisk(config)
		s.start()
		block()
		s.refuse(config, http.StatusBadRequest, warehouse+": not a directory")
		free()
		s.create(config)
		s.running()
		block()
		s.produce("events", numbers(1, 3)...)
		s.warned(soon, "table cannot be loaded; records wait", "create table db.events: ", warehouse, "not a directory")
		s.running()
		free()
		s.rows(3)
	})
}

// TestDiskFull breaks writing data files: the task says so and writes them again.
func TestDiskFull(t *testing.T) {
	play(t, func(s *scene) {
		s.create(nil)
		s.produce("events", numbers(1, 3)...)
		s.rows(3)
		s.catalog.Files().FailWrite(1, syscall.ENOSPC)
		s.produce("events", numbers(4, 6)...)
		s.warned(soon, "data files cannot be stored; records wait", "db.events", "no space left on device")
		s.rows(6)
		s.running()
	})
}

// TestDiskFullForMetadata breaks the coordinator's writes: it tries on.
func TestDiskFullForMetadata(t *testing.T) {
	play(t, func(s *scene) {
		s.create(nil)
		s.produce("events", numbers(1, 3)...)
		s.rows(3)
		s.catalog.Chaos(func(op icetest.Op, _ int) icetest.Fault {
			if op == icetest.Commit {
				return icetest.Fault{Before: syscall.ENOSPC}
			}
			return icetest.Fault{}
		})
		s.produce("events", numbers(4, 6)...)
		s.warned(soon, "commit to table db.events failed", "no space left on device")
		s.troubled(longTrouble, "db.events", "no space left on device")
		time.Sleep(10 * time.Minute)
		s.catalog.Chaos(nil)
		s.rows(6)
		s.running()
	})
}

// TestTableDropped: what the dropped table held is gone with it, and everything that came
// after is in its successor.
func TestTableDropped(t *testing.T) {
	for name, wait := range map[string]time.Duration{"between commits": 0, "and noticed by the task": time.Minute} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.create(nil)
				s.produce("events", numbers(1, 3)...)
				s.rows(3)
				time.Sleep(wait)
				if err := s.catalog.DropTable(s.Context(), table.Identifier{"db", "events"}); err != nil {
					s.Fatal(err)
				}
				for id := 4; id <= 20; id++ { // over more than the time after which tables are looked at
					s.produce("events", numbers(id, id)...)
					time.Sleep(3 * time.Second)
				}
				s.rows(20, 1, 2, 3)
				s.running()
			})
		})
	}
}

// TestTableDroppedOften drops under a stream of records and a slow catalog. What had landed
// before is gone; behind the first row that is left none is missing and none is there twice.
func TestTableDroppedOften(t *testing.T) {
	play(t, func(s *scene) {
		s.catalog.Chaos(func(_ icetest.Op, n int) icetest.Fault {
			return icetest.Fault{DelayAfter: time.Duration(n%5) * 100 * time.Millisecond}
		})
		s.create(nil)
		id := 0
		for range 3 {
			for range 700 { // of 35 s, longer than a table is used without a look at it
				id++
				s.produce("events", numbers(id, id)...)
				time.Sleep(50 * time.Millisecond)
			}
			if err := s.catalog.DropTable(s.Context(), table.Identifier{"db", "events"}); err != nil {
				s.Fatal(err)
			}
		}
		s.produce("events", numbers(id+1, id+20)...)
		id += 20
		var got []int64
		s.eventually(2*time.Minute, func() string {
			if got = s.read(); len(got) == 0 || got[len(got)-1] != int64(id) {
				return fmt.Sprintf("the table holds %v, want rows up to %d", got, id)
			}
			return ""
		})
		for i, n := range got {
			if n != got[0]+int64(i) {
				s.Fatalf("the table holds %v, want each number once", got)
			}
		}
		s.running()
	})
}

// TestTableDroppedForGood has no auto-create: the task fails until the table is there again.
func TestTableDroppedForGood(t *testing.T) {
	play(t, func(s *scene) {
		s.create(nil)
		s.produce("events", numbers(1, 3)...)
		s.rows(3)
		manual := map[string]string{"iceberg.tables.auto-create-enabled": "false"}
		s.reconfigure(manual)
		s.produce("events", numbers(4, 4)...)
		s.rows(4)
		old, err := s.catalog.Peek(table.Identifier{"db", "events"})
		if err != nil {
			s.Fatal(err)
		}
		if err := s.catalog.DropTable(s.Context(), table.Identifier{"db", "events"}); err != nil {
			s.Fatal(err)
		}
		s.produce("events", numbers(5, 7)...)
		s.failed(2*time.Minute, "table db.events does not exist (create it, or set iceberg.tables.auto-create-enabled=true)")
		if _, err := s.catalog.CreateTable(context.Background(), table.Identifier{"db", "events"}, old.Schema()); err != nil {
			s.Fatal(err)
		}
		s.restart()
		s.rows(7, 1, 2, 3, 4)
	})
}

// TestFirstRecord tells of no column, and the table is there: it is a row like any other.
func TestFirstRecord(t *testing.T) {
	play(t, func(s *scene) {
		s.create(nil)
		s.produce("events", numbers(1, 1)...)
		s.rows(1)
		s.restartAll()
		s.produce("events", `{}`, `{"id":2}`)
		s.ids([]int64{0, 1, 2}) // null reads as 0
		s.running()
	})
}

// TestPartitionByUnknownColumn is found at the first record.
func TestPartitionByUnknownColumn(t *testing.T) {
	play(t, func(s *scene) {
		s.refuse(map[string]string{"iceberg.tables.default-partition-by": "days(ts"}, http.StatusBadRequest, "days(ts")
		s.produce("events", numbers(1, 3)...)
		s.create(map[string]string{"iceberg.tables.default-partition-by": "day(ts)", "errors.tolerance": "all"})
		s.failed(soon, "create table db.events: ", "ts", "(correct partition-by, or create the table)")
		s.reconfigure(nil)
		s.rows(3)
	})
}

func (s *scene) restartAll() {
	s.Helper()
	if status, text := s.call(http.MethodPost, "/connectors/c/restart?includeTasks=true", nil, nil); status != http.StatusAccepted {
		s.Fatalf("restart: %d %s", status, text)
	}
	time.Sleep(time.Second)
	s.running()
}

// TestCatalogConfig is what validate finds without a connection.
func TestCatalogConfig(t *testing.T) {
	play(t, func(s *scene) {
		s.refuse(map[string]string{"iceberg.catalog.type": "", "iceberg.catalog.uri": ""}, http.StatusBadRequest, "Must specify Iceberg catalog properties")
		if s.log.has("ERROR") || strings.Contains(s.log.text(), "panic") {
			s.Error("a refused config left an error in the log")
		}
	})
}
