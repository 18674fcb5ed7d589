package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/examples/flights"
	"github.com/firn-io/firn/internal/kafka"
)

// TestEncoder reads the encoder's bytes back with an Avro library.
func TestEncoder(t *testing.T) {
	enc, err := newEncoder(7)
	if err != nil {
		t.Fatal(err)
	}
	row := strings.Split("2013,1,2,NA,515,-2,830,819,NA,UA,1545,NA,EWR,IAH,227,1400,5,15,2013-01-02T10:00:00Z", ",")
	value, err := enc.encode(row)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := value[:5], []byte{0, 0, 0, 0, 7}; !slices.Equal(got, want) {
		t.Errorf("header: got %v, want %v", got, want)
	}
	var got map[string]any
	if err := avro.Unmarshal(avro.MustParse(flights.FlightSchema), value[5:], &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"dep_time": "<nil>", "dep_delay": "-2", "arr_delay": "<nil>", "tailnum": "<nil>", "carrier": "UA",
		"distance": "1400", "time_hour": "2013-01-02 10:00:00 +0000 UTC",
	}
	for name, w := range want {
		if g := fmt.Sprint(got[name]); g != w {
			t.Errorf("%s: got %s, want %s", name, g, w)
		}
	}
}

func TestEncoderRefuses(t *testing.T) {
	enc, err := newEncoder(1)
	if err != nil {
		t.Fatal(err)
	}
	good := strings.Split("2013,1,2,NA,515,-2,830,819,NA,UA,1545,NA,EWR,IAH,227,1400,5,15,2013-01-02T10:00:00Z", ",")
	for at, text := range map[int]string{0: "x", 1: "NA", 15: "99999999999", 18: "yesterday"} {
		row := slices.Clone(good)
		row[at] = text
		if _, err := enc.encode(row); err == nil {
			t.Errorf("column %d = %q was encoded", at, text)
		}
	}
	if _, err := enc.encode(good[1:]); err == nil {
		t.Error("a row with a column less was encoded")
	}
}

// TestEveryRowEncodes runs the whole data through: 336,776 rows in a second or two.
func TestEveryRowEncodes(t *testing.T) {
	enc, err := newEncoder(1)
	if err != nil {
		t.Fatal(err)
	}
	perPartition := map[int32]int{}
	if err := flightRows(enc, func(key string, _ []byte) error { perPartition[partitionOf(key, 4)]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(perPartition) != 4 {
		t.Errorf("carriers are spread over %v, want all 4 partitions", perPartition)
	}
}

func TestWeatherRows(t *testing.T) {
	rows := 0
	first := map[string]any{}
	err := weatherRows(nil, func(key string, value []byte) error {
		var row map[string]any
		if err := json.Unmarshal(value, &row); err != nil {
			t.Fatalf("row %d: %v: %s", rows, err, value)
		}
		if row["origin"] != key {
			t.Errorf("row %d: key %q, origin %q", rows, key, row["origin"])
		}
		if rows == 0 {
			first = row
			if !strings.Contains(string(value), `"precip":0.0,`) {
				t.Errorf("the first row's precip shows no fraction, so that it would make an integer column: %s", value)
			}
		}
		rows++
		return nil
	})
	if err != nil || rows != flights.WeatherRows {
		t.Errorf("got %d rows, %v; want %d", rows, err, flights.WeatherRows)
	}
	for name, v := range first {
		if v == nil {
			t.Errorf("the first row has no %s", name)
		}
	}
}

// TestResume kills the producer after every possible batch and mid-batch, starts it
// again from the ends of the log, and wants every row once and in order.
func TestResume(t *testing.T) {
	const rows = 60
	src := source{topic: "t", partitions: 3}
	key := func(i int) string { return fmt.Sprint("k", i%7) }
	errKilled := errors.New("killed")
	for killAfter := range rows {
		log := map[connect.TopicPartition][]string{}
		stored := 0
		store := func(limit int) func([]kafka.Message) error {
			return func(msgs []kafka.Message) error {
				for _, m := range msgs {
					if stored == limit {
						return errKilled
					}
					tp := connect.TopicPartition{Topic: m.Topic, Partition: m.Partition}
					log[tp] = append(log[tp], string(m.Value))
					stored++
				}
				return nil
			}
		}
		run := func(limit int) error {
			ends := map[connect.TopicPartition]int64{}
			for tp, l := range log {
				ends[tp] = int64(len(l))
			}
			w := &resumer{source: src, ends: ends, send: store(limit)}
			for i := range rows {
				if err := w.row(key(i), fmt.Append(nil, i)); err != nil {
					return err
				}
			}
			return w.flush()
		}
		if err := run(killAfter); !errors.Is(err, errKilled) {
			t.Fatalf("killed after %d rows: got %v", killAfter, err)
		}
		for range 2 { // the second run finds nothing to do
			if err := run(-1); err != nil {
				t.Fatal(err)
			}
		}
		want := map[connect.TopicPartition][]string{}
		for i := range rows {
			tp := connect.TopicPartition{Topic: "t", Partition: partitionOf(key(i), 3)}
			want[tp] = append(want[tp], strconv.Itoa(i))
		}
		for tp, w := range want {
			if !slices.Equal(log[tp], w) {
				t.Errorf("killed after %d rows: %v holds %v, want %v", killAfter, tp, log[tp], w)
			}
		}
	}
}
