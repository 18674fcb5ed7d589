//go:build real && unix

package realtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xitongsys/parquet-go/reader"
	"github.com/xitongsys/parquet-go/source"

	"github.com/firn-io/firn/internal/realtest/parts"
)

// verify reads a table in three ways and compares every partition's rows, offsets
// and the sum of a column with the truth: each record once, none else.
func (s *stack) verify(t *testing.T, catalog map[string]string, table, sum string, want *truth) *parts.Table {
	t.Helper()
	got, err := s.readers.Read(t.Context(), catalog, table, sum)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "DuckDB", table, got.DuckDB, want)
	compare(t, "PyIceberg", table, got.PyIceberg, want)
	var seen sighting
	for _, path := range got.Files {
		if err := seen.file(s.localPath(path), sum); err != nil {
			t.Errorf("table %s: file %s with xitongsys: %v", table, path, err)
		}
	}
	compare(t, "xitongsys", table, seen.slices(), want)
	return got
}

func compare(t *testing.T, who, table string, got []parts.Slice, want *truth) {
	t.Helper()
	if !slices.Equal(got, want[:]) {
		t.Errorf("table %s, read by %s:\n got %+v\nwant %+v", table, who, got, want[:])
	}
}

// localPath is where the bytes of a data file are: versitygw keeps objects as files.
func (s *stack) localPath(location string) string {
	if key, ok := strings.CutPrefix(location, "s3://"); ok {
		return filepath.Join(s.s3.Dir, filepath.FromSlash(key))
	}
	return strings.TrimPrefix(location, "file://")
}

// A sighting collects what is in the data files themselves.
type sighting struct {
	byPartition map[int32]*parts.Slice
	offsets     map[[2]int64]bool
}

// file adds the rows of one Parquet file.
func (s *sighting) file(path, sum string) error {
	if s.offsets == nil {
		s.byPartition, s.offsets = map[int32]*parts.Slice{}, map[[2]int64]bool{}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, err := reader.NewParquetColumnReader(&parquetFile{content, bytes.NewReader(content)}, 1)
	if err != nil {
		return err
	}
	defer r.ReadStop()
	columns := map[string][]any{}
	for i, path := range r.SchemaHandler.ValueColumns {
		outside := r.SchemaHandler.InPathToExPath[path]
		name := outside[strings.LastIndex(outside, "\x01")+1:]
		values, _, _, err := r.ReadColumnByIndex(int64(i), r.GetNumRows())
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		if int64(len(values)) != r.GetNumRows() {
			return fmt.Errorf("column %s: %d values in %d rows", name, len(values), r.GetNumRows())
		}
		columns[name] = values
	}
	for i := range r.GetNumRows() {
		partition, okP := number(columns["kafka_partition"], i)
		offset, okO := number(columns["kafka_offset"], i)
		n, okN := number(columns[sum], i)
		if !okP || !okO || !okN {
			return fmt.Errorf("row %d: no numbers in kafka_partition, kafka_offset or %s", i, sum)
		}
		s.row(int32(partition), offset, n)
	}
	return nil
}

func number(column []any, i int64) (int64, bool) {
	if i >= int64(len(column)) {
		return 0, false
	}
	switch n := column[i].(type) {
	case int32:
		return int64(n), true
	case int64:
		return n, true
	}
	return 0, false
}

func (s *sighting) row(partition int32, offset, n int64) {
	slice := s.byPartition[partition]
	if slice == nil {
		slice = &parts.Slice{Partition: partition, First: offset, Last: offset}
		s.byPartition[partition] = slice
	}
	slice.Rows++
	slice.First, slice.Last = min(slice.First, offset), max(slice.Last, offset)
	slice.Sum += n
	if at := [2]int64{int64(partition), offset}; !s.offsets[at] {
		s.offsets[at] = true
		slice.Offsets++
	}
}

func (s *sighting) slices() []parts.Slice {
	var all []parts.Slice
	for _, slice := range s.byPartition {
		all = append(all, *slice)
	}
	slices.SortFunc(all, func(a, b parts.Slice) int { return cmp.Compare(a.Partition, b.Partition) })
	return all
}

// parquetFile is a file in memory for the third reader, which opens it several times.
type parquetFile struct {
	content []byte
	*bytes.Reader
}

func (f *parquetFile) Open(string) (source.ParquetFile, error) {
	return &parquetFile{f.content, bytes.NewReader(f.content)}, nil
}

func (f *parquetFile) Create(string) (source.ParquetFile, error) { return nil, errors.ErrUnsupported }
func (f *parquetFile) Write([]byte) (int, error)                 { return 0, errors.ErrUnsupported }
func (f *parquetFile) Close() error                              { return nil }
