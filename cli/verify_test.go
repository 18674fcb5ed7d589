package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/verify"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/local"
)

func TestCoordinatesOfAConfig(t *testing.T) {
	tests := []struct {
		config map[string]string
		want   *verify.Coordinates
	}{
		{map[string]string{}, nil},
		{map[string]string{"transforms": "k", "transforms.k.type": "org.apache.iceberg.connect.transforms.KafkaMetadataTransform"}, &verify.Coordinates{Topic: "_kafka_metadata_topic", Partition: "_kafka_metadata_partition", Offset: "_kafka_metadata_offset"}},
		{
			map[string]string{"transforms": "r, k", "transforms.r.type": "RegexRouter", "transforms.k.type": "io.tabular.iceberg.connect.transforms.KafkaMetadataTransform", "transforms.k.nested": "TRUE", "transforms.k.field_name": "m"},
			&verify.Coordinates{Topic: "m.topic", Partition: "m.partition", Offset: "m.offset"},
		},
		{map[string]string{"transforms": "i", "transforms.i.type": "org.apache.kafka.connect.transforms.InsertField$Value", "transforms.i.offset.field": "o!", "transforms.i.partition.field": "p?"}, &verify.Coordinates{Partition: "p", Offset: "o"}},
		{map[string]string{"transforms": "i", "transforms.i.type": "InsertField$Value", "transforms.i.offset.field": "o"}, nil},
	}
	for _, tt := range tests {
		got := coordinatesOf(tt.config)
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%v: got %+v, want %+v", tt.config, got, tt.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		verdicts []string
		code     int
	}{
		{[]string{proven, proven}, exitOK}, {[]string{proven, unknown}, exitOther}, {[]string{differences, unknown}, exitDifferent}, {[]string{unknown, differences, proven}, exitDifferent},
	} {
		var outcomes []outcome
		for _, v := range tt.verdicts {
			outcomes = append(outcomes, outcome{Verdict: v})
		}
		code := exitOK
		if e, ok := errors.AsType[*exitError](verdict(outcomes)); ok {
			code = e.code
		}
		if code != tt.code {
			t.Errorf("%v: got code %d, want %d", tt.verdicts, code, tt.code)
		}
	}
}

// TestVerifyALiveTable runs a connector on a real worker and the command beside it: the
// table is proven, a config that would have written something else is not, and a file that
// is gone leaves the question open.
func TestVerifyALiveTable(t *testing.T) {
	dir := t.TempDir()
	e := &env{plugins: Builtin(), stdout: new(bytes.Buffer), screen: newScreen(os.Stderr)}
	cfg := local.Config{Dir: filepath.Join(dir, "stack"), REST: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	err := runStack(t.Context(), e, cfg, func(ctx context.Context, st *local.Stack, restURL string) error {
		config := map[string]string{
			"name": "orders", "connector.class": "IcebergSink", "topics": "orders", "tasks.max": "1",
			"iceberg.tables": "db.orders", "iceberg.tables.auto-create-enabled": "true", "iceberg.control.commit.interval-ms": "500",
			"iceberg.catalog.type": "sql", "iceberg.catalog.uri": st.CatalogURI, "iceberg.catalog.warehouse": st.Warehouse,
			"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
			"key.converter":        "org.apache.kafka.connect.storage.StringConverter",
			"transforms":           "meta",
			"transforms.meta.type": "org.apache.iceberg.connect.transforms.KafkaMetadataTransform", "transforms.meta.external_field": "site,here",
		}
		const records = 500
		if err := produceOrders(ctx, st.Bootstrap, records); err != nil {
			return err
		}
		client := &connectapi.Client{Base: restURL, Name: "the worker"}
		if err := client.AwaitReady(ctx); err != nil {
			return err
		}
		if _, err := client.PutConnector(ctx, connectapi.Connector{Name: "orders", Config: config}); err != nil {
			return err
		}
		tp := connect.TopicPartition{Topic: "orders"}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			offsets, err := client.Offsets(ctx, "orders")
			if err == nil && offsets[tp] == records {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("after a minute the offsets are %v, %w", offsets, err)
			}
		}
		verified := func(change map[string]string, flags ...string) (int, []outcome) {
			changed := maps.Clone(config)
			maps.Copy(changed, change)
			text, err := json.Marshal(changed)
			path := filepath.Join(dir, "orders.json")
			if err := errors.Join(err, os.WriteFile(path, text, 0o600)); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			code := run(Builtin(), append([]string{"verify", "--json", "--kafka", st.Bootstrap, path}, flags...), &out, devNull(t))
			var outcomes []outcome
			if err := json.Unmarshal(out.Bytes(), &outcomes); err != nil {
				t.Errorf("verify printed %q: %v", out.String(), err)
			}
			return code, outcomes
		}
		for _, tt := range []struct {
			name   string
			change map[string]string
			flags  []string
			code   int
		}{
			{"as it is", nil, nil, exitOK},
			{"by rows", nil, []string{"--by-rows"}, exitOK},
			{"with columns named", nil, []string{"--columns", "_kafka_metadata_topic,_kafka_metadata_partition,_kafka_metadata_offset", "--table", "db.orders", "--topic", "orders"}, exitOK},
			{"another constant", map[string]string{"transforms.meta.external_field": "site,there"}, nil, exitDifferent},
			{"another table", nil, []string{"--table", "db.none"}, exitOther},
			{"a converter that refuses all", map[string]string{"value.converter": "Avro", "value.converter.schema.registry.url": st.RegistryURL}, nil, exitOther},
		} {
			if code, got := verified(tt.change, tt.flags...); code != tt.code || len(got) != 1 {
				t.Errorf("%s: got code %d and %+v, want code %d", tt.name, code, got, tt.code)
			} else if tt.code == exitOK && (got[0].Report.Rows != records || got[0].Report.Expected != records) {
				t.Errorf("%s: got %+v", tt.name, got[0].Report)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "stack", "warehouse", "db.db", "orders", "data", "*.parquet"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no data files: %w", err)
		}
		if err := os.Truncate(files[0], 100); err != nil {
			return err
		}
		if code, got := verified(nil); code != exitOther {
			t.Errorf("a file that is cut off: got code %d and %+v, want %d", code, got, exitOther)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func produceOrders(ctx context.Context, bootstrap string, n int) error {
	client, err := kafka.NewConfig(map[string]string{"bootstrap.servers": bootstrap}, nil)
	if err != nil {
		return err
	}
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // nothing is pending on it
	if err := admin.CreateTopic(ctx, kafka.TopicSpec{Name: "orders", Partitions: 1, ReplicationFactor: 1}); err != nil {
		return err
	}
	p, err := kafka.NewProducer(client)
	if err != nil {
		return err
	}
	var messages []kafka.Message
	for i := range n {
		messages = append(messages, kafka.Message{Topic: "orders", Value: fmt.Appendf(nil, `{"id":%d,"word":"w%d","tags":["a","b%d"],"at":{"x":%d.5}}`, i, i, i, i)})
	}
	return errors.Join(p.SendAll(ctx, messages), p.Close())
}
