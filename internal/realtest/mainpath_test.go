//go:build real && unix

package realtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/examples/flights"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// coordinates is the transform that writes where a record came from into its row. (Spark
// takes columns that are called _partition for Iceberg's own.)
var coordinates = map[string]string{
	"transforms":                    "at",
	"transforms.at.type":            "org.apache.kafka.connect.transforms.InsertField$Value",
	"transforms.at.partition.field": "kafka_partition",
	"transforms.at.offset.field":    "kafka_offset",
}

// sink is the config of a connector from one topic to one table, made by the sink.
func sink(topic, table, partitionBy string, more ...map[string]string) map[string]string {
	return merged(append([]map[string]string{coordinates, {
		"connector.class":                     "org.apache.iceberg.connect.IcebergSinkConnector",
		"tasks.max":                           "2",
		"topics":                              topic,
		"iceberg.tables":                      table,
		"iceberg.tables.auto-create-enabled":  "true",
		"iceberg.tables.default-partition-by": partitionBy,
		"iceberg.control.topic":               "control-" + topic,
		"iceberg.control.commit.interval-ms":  "1000",
	}}, more...)...)
}

// schemaless has values read as JSON without a schema, whatever the worker's default.
var schemaless = map[string]string{
	"value.converter":                "org.apache.kafka.connect.json.JsonConverter",
	"value.converter.schemas.enable": "false",
}

const flightRows = 60_000

// mainPath brings Avro and JSON through two workers into tables on S3.
func (s *stack) mainPath(t *testing.T) {
	c := s.cluster(t, "main", 2, nil)
	s.flightsAndReadings(t, c, "main", s.restCatalog("iceberg.catalog."), s.restCatalog(""))
}

// postgres does the same with a SQL catalog in PostgreSQL and local files.
func (s *stack) postgres(t *testing.T) {
	db, err := parts.StartPostgres(t.Context())
	have(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	warehouse := "file://" + filepath.Join(s.folder(t, "pg"), "warehouse")
	openAtOnce(t, map[string]string{
		"type": "jdbc", "uri": "jdbc:" + db.URL(), "jdbc.user": db.User, "jdbc.password": db.Password, "warehouse": warehouse,
	})
	catalogSuite(t, db)
	c := s.cluster(t, "pg", 2, nil)
	s.flightsAndReadings(t, c, "pg", map[string]string{
		"iceberg.catalog.type": "jdbc", "iceberg.catalog.uri": "jdbc:" + db.URL(),
		"iceberg.catalog.jdbc.user": db.User, "iceberg.catalog.jdbc.password": db.Password,
		"iceberg.catalog.warehouse": warehouse,
	}, map[string]string{
		"type": "sql", "uri": db.URI("postgresql+psycopg2"), "warehouse": warehouse, "init_catalog_tables": "false",
	})
}

// catalogSuite runs the tests of package catalog that need a PostgreSQL.
func catalogSuite(t *testing.T, db *parts.Postgres) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", "-count", "1", "-run", "/postgres$", "github.com/firn-io/firn/connectors/iceberg/catalog")
	cmd.Env = append(os.Environ(), "FIRN_TEST_POSTGRES="+db.URI("postgresql"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("tests of package catalog: %v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("/postgres (")) || bytes.Contains(out, []byte("--- SKIP")) {
		t.Errorf("tests of package catalog were left out:\n%s", out)
	}
}

// openAtOnce opens a catalog in an empty database as the tasks of many workers do.
func openAtOnce(t *testing.T, props map[string]string) {
	t.Helper()
	var g errgroup.Group
	for range 16 {
		g.Go(func() error {
			cat, err := catalog.Open(t.Context(), "iceberg", props)
			if err != nil {
				return err
			}
			return cat.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// flightsAndReadings runs two connectors, one posted to each worker, and reads their
// tables back.
func (s *stack) flightsAndReadings(t *testing.T, c *cluster, name string, sinkCatalog, readerCatalog map[string]string) {
	flightsFeed, readings := s.feed(t, name+"-flights"), s.feed(t, name+"-readings")
	schemaID, err := s.register(t.Context(), flightsFeed.topic, flights.FlightSchema)
	if err != nil {
		t.Fatal(err)
	}
	if err := flightsFeed.flights(t.Context(), schemaID, flightRows/2); err != nil {
		t.Fatal(err)
	}
	if err := readings.json(t.Context(), 0, 10_000); err != nil {
		t.Fatal(err)
	}
	c.post(t, 0, name+"-flights", sink(flightsFeed.topic, name+".flights", "month(time_hour)", sinkCatalog))
	c.post(t, 1, name+"-readings", sink(readings.topic, name+".readings", "city", sinkCatalog, schemaless))
	c.awaitCommitted(t, name+"-flights", s.ends(t, flightsFeed.topic), time.Minute)

	// And more while it runs.
	if err := flightsFeed.flights(t.Context(), schemaID, flightRows/2); err != nil {
		t.Fatal(err)
	}
	if err := readings.json(t.Context(), 10_000, 10_000); err != nil {
		t.Fatal(err)
	}
	c.awaitCommitted(t, name+"-flights", s.ends(t, flightsFeed.topic), time.Minute)
	c.awaitCommitted(t, name+"-readings", s.ends(t, readings.topic), time.Minute)

	got := s.verify(t, readerCatalog, name+".flights", "distance", flightsFeed.want)
	if want := []string{"month(time_hour_month)"}; !slices.Equal(got.Partitioning, want) {
		t.Errorf("flights are partitioned by %v, want %v", got.Partitioning, want)
	}
	for column, want := range map[string]string{
		"carrier": "string", "dep_delay": "int", "time_hour": "timestamptz", "kafka_partition": "int", "kafka_offset": "long",
	} {
		if got.Columns[column] != want {
			t.Errorf("column %s of flights is of type %q, want %s", column, got.Columns[column], want)
		}
	}
	if got.Snapshots < 2 {
		t.Errorf("flights came in %d snapshots, want 2 or more", got.Snapshots)
	}
	got = s.verify(t, readerCatalog, name+".readings", "n", readings.want)
	c.proven(t, name+"-flights")
	c.proven(t, name+"-readings")
	if want := []string{"identity(city)"}; !slices.Equal(got.Partitioning, want) {
		t.Errorf("readings are partitioned by %v, want %v", got.Partitioning, want)
	}
	c.bothWork(t, name+"-flights")
}

// bothWork checks that the tasks are not all on one worker.
func (c *cluster) bothWork(t *testing.T, connector string) {
	t.Helper()
	st, err := c.status(t.Context(), connector)
	if err != nil {
		t.Fatal(err)
	}
	workers := map[string]bool{}
	for _, task := range st.Tasks {
		workers[task.Worker] = true
	}
	if len(workers) < 2 {
		t.Errorf("the tasks of %s are on workers %v, want both: %+v", connector, workers, st.Tasks)
	}
}
