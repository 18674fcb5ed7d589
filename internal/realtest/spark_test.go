//go:build real && unix

package realtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/realtest/parts"
)

// A sparkReader reads what is in the stack's REST catalog.
type sparkReader struct {
	*parts.Spark
	catalog map[string]string
}

// spark installs Spark: before a story, so that it is not played in vain.
func (s *stack) spark(t *testing.T) *sparkReader {
	t.Helper()
	spark, err := parts.NewSpark(t.Context(), s.folder(t, "spark"))
	have(t, err)
	return &sparkReader{spark, s.restCatalog("")}
}

// rows are those of each query.
func (r *sparkReader) rows(t *testing.T, queries ...string) [][][]int64 {
	t.Helper()
	began := time.Now()
	all, err := r.Rows(t.Context(), r.catalog, queries...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Spark has answered after %.1f s", time.Since(began).Seconds())
	return all
}

// slices are what Readers.Read says of a table.
func (r *sparkReader) slices(t *testing.T, table, sum string) []parts.Slice {
	t.Helper()
	answers := r.rows(t, fmt.Sprintf(`SELECT kafka_partition, count(*), count(DISTINCT kafka_offset), min(kafka_offset), max(kafka_offset), sum(%s)
		FROM lake.%s GROUP BY kafka_partition ORDER BY kafka_partition`, sum, table))
	var all []parts.Slice
	for _, n := range answers[0] {
		all = append(all, parts.Slice{Partition: int32(n[0]), Rows: n[1], Offsets: n[2], First: n[3], Last: n[4], Sum: n[5]})
	}
	return all
}
