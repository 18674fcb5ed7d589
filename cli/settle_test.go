package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg"
)

func TestSettleReport(t *testing.T) {
	at := connect.TopicPartition{Topic: "orders", Partition: 3}
	ahead := []iceberg.Standing{{TopicPartition: at, Offset: 5, Tables: map[string]int64{"db.b": 9, "db.a": 5}}}
	r := &settleReport{Connector: "c", Action: "offsets", Message: "settled"}
	if r.note(ahead, true); r.Settled {
		t.Error("a table that is ahead is settled")
	}
	s := &settling{}
	if err := s.unsettled(r, nil); err == nil || !strings.HasPrefix(r.Message, "not settled") {
		t.Errorf("%v, %q", err, r.Message)
	}
	ahead[0].Offset = 9
	if r.note(ahead, false); r.Settled {
		t.Error("with tables that are not known it is settled")
	}
	r.note(ahead, true)
	if err := s.unsettled(r, nil); err != nil || !r.Settled {
		t.Errorf("%v, settled %v", err, r.Settled)
	}
	if got, want := r.String(), "orders-3: group 5 -> 9; tables: db.a 5, db.b 9\n"; !strings.HasSuffix(got, want) {
		t.Errorf("said %q", got)
	}
	text, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(text), `"offset_before":5,"offset_after":9`) {
		t.Errorf("JSON %s, %v", text, err)
	}
	if err := s.unsettled(r, errors.New("no")); err == nil || r.Settled {
		t.Errorf("after a failure: %v, settled %v", err, r.Settled)
	}
}
