package javaevent

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// A PartitionField is the result type of one field of a partition spec.
type PartitionField struct {
	ID   int
	Name string
	Type string // Iceberg's spelling: date, decimal(9, 2), fixed[4], ...
}

func (e *Event) dataWritten(p *DataWritten) ([]byte, error) {
	schema, err := writtenSchema(p.Partition)
	if err != nil {
		return nil, fmt.Errorf("encode control event: %w", err)
	}
	if len(schema) > math.MaxUint16 {
		return nil, fmt.Errorf("encode control event: the schema has %d bytes, the format takes 65535: the partition spec is too wide", len(schema))
	}
	w := e.head(schema)
	w.id(p.Commit)
	w.table(p.Table)
	for _, files := range [][]File{p.Data, p.Deletes} {
		var bad error
		optionalList(w, files, func(w *writer, f File) { bad = errors.Join(bad, w.file(f, p.Partition)) })
		if bad != nil {
			return nil, fmt.Errorf("encode control event: %w", bad)
		}
	}
	return w.b, nil
}

// file writes a GenericDataFile or GenericDeleteFile.
func (w *writer) file(f File, partition []PartitionField) error {
	w.long(present)
	w.long(int64(f.Content))
	w.text(f.Path)
	w.text(f.Format)
	w.long(present)
	w.long(int64(f.SpecID))
	for _, p := range partition {
		if err := w.partitionValue(f.Partition[p.ID]); err != nil {
			return fmt.Errorf("partition field %s: %w", p.Name, err)
		}
	}
	w.long(f.Records)
	w.long(f.Bytes)
	for _, m := range []map[int]int64{f.ColumnSizes, f.ValueCounts, f.NullCounts, f.NaNCounts} {
		byID(w, m, (*writer).long)
	}
	byID(w, f.Lower, (*writer).bytes)
	byID(w, f.Upper, (*writer).bytes)
	if f.KeyMetadata == nil {
		w.long(absent)
	} else {
		w.long(present)
		w.bytes(f.KeyMetadata)
	}
	number := func(w *writer, v int) { w.long(int64(v)) }
	optionalList(w, f.SplitOffsets, (*writer).long)
	optionalList(w, f.EqualityIDs, number)
	optional(w, f.SortOrderID, number)
	optional(w, f.FirstRowID, (*writer).long)
	optional(w, f.Referenced, (*writer).text)
	optional(w, f.ContentOffset, (*writer).long)
	optional(w, f.ContentSize, (*writer).long)
	return nil
}

// byID writes a map by column id: an array of pairs.
func byID[V any](w *writer, m map[int]V, put func(*writer, V)) {
	if m == nil {
		w.long(absent)
		return
	}
	w.long(present)
	list(w, slices.Sorted(maps.Keys(m)), func(w *writer, id int) {
		w.long(int64(id))
		put(w, m[id])
	})
}

// partitionValue writes null or a value; a []byte is a fixed one (uuid, fixed, decimal)
// unless it is Binary.
func (w *writer) partitionValue(v any) error {
	if v == nil {
		w.long(absent)
		return nil
	}
	w.long(present)
	switch v := v.(type) {
	case bool:
		w.b = append(w.b, 0)
		if v {
			w.b[len(w.b)-1] = 1
		}
	case int32:
		w.long(int64(v))
	case int64:
		w.long(v)
	case float32:
		w.float(v)
	case float64:
		w.double(v)
	case string:
		w.text(v)
	case []byte:
		w.b = append(w.b, v...)
	case Binary:
		w.bytes(v)
	default:
		return fmt.Errorf("no form for %T", v)
	}
	return nil
}

// writtenSchema is the schema of a DataWritten for a table partitioned so. Types with
// names are spelled out where they come first and called by name after that.
func writtenSchema(partition []PartitionField) (string, error) {
	s := schemaWriter{named: map[string]bool{"uuid_fixed": true}}
	s.text(schemaHead, `"DataWritten","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10300},`,
		`{"name":"table_reference","type":`, tableSchema, `,"field-id":10301},`,
		`{"name":"data_files","type":["null",{"type":"array","items":`)
	if err := s.file("GenericDataFile", partition); err != nil {
		return "", err
	}
	s.text(`,"element-id":10303}],"default":null,"field-id":10302},{"name":"delete_files","type":["null",{"type":"array","items":`)
	if err := s.file("GenericDeleteFile", partition); err != nil {
		return "", err
	}
	s.text(`,"element-id":10305}],"default":null,"field-id":10304}`, schemaTail)
	return s.b.String(), nil
}

type schemaWriter struct {
	b     strings.Builder
	named map[string]bool // already spelled out
}

func (s *schemaWriter) text(parts ...string) {
	for _, p := range parts {
		s.b.WriteString(p)
	}
}

// once gives the definition of a named type the first time, its name after that.
func (s *schemaWriter) once(name, definition string) string {
	if s.named[name] {
		return `"` + name + `"`
	}
	s.named[name] = true
	return definition
}

func (s *schemaWriter) file(class string, partition []PartitionField) error {
	s.text(`{"type":"record","name":"`, class, `","namespace":"org.apache.iceberg","fields":[`)
	s.optional("content", "int", "Contents of the file: 0=data, 1=position deletes, 2=equality deletes", 134)
	s.required("file_path", "string", "Location URI with FS scheme", 100)
	s.required("file_format", "string", "File format name: avro, orc, or parquet", 101)
	s.optional("spec_id", "int", "Partition spec ID", 141)
	s.text(`{"name":"partition","type":`)
	if err := s.partition(partition); err != nil {
		return err
	}
	s.text(`,"doc":"Partition data tuple, schema based on the partition spec","field-id":102},`)
	s.required("record_count", "long", "Number of records in the file", 103)
	s.required("file_size_in_bytes", "long", "Total file size in bytes", 104)
	s.byID("column_sizes", "long", "Map of column id to total size on disk", 108, 117, 118)
	s.byID("value_counts", "long", "Map of column id to total count, including null and NaN", 109, 119, 120)
	s.byID("null_value_counts", "long", "Map of column id to null value count", 110, 121, 122)
	s.byID("nan_value_counts", "long", "Map of column id to number of NaN values in the column", 137, 138, 139)
	s.byID("lower_bounds", "bytes", "Map of column id to lower bound", 125, 126, 127)
	s.byID("upper_bounds", "bytes", "Map of column id to upper bound", 128, 129, 130)
	s.optional("key_metadata", "bytes", "Encryption key metadata blob", 131)
	s.list("split_offsets", "long", "Splittable offsets", 132, 133)
	s.list("equality_ids", "int", "Equality comparison field IDs", 135, 136)
	s.optional("sort_order_id", "int", "Sort order ID", 140)
	s.optional("first_row_id", "long", "The first row ID assigned to the first row in the data file", 142)
	s.optional("referenced_data_file", "string", "Fully qualified location (URI with FS scheme) of a data file that all deletes reference", 143)
	s.optional("content_offset", "long", "The offset in the file where the content starts", 144)
	s.optional("content_size_in_bytes", "long", "The length of referenced content stored in the file", 145)
	text := strings.TrimSuffix(s.b.String(), ",")
	s.b.Reset()
	s.text(text, `]}`)
	return nil
}

func (s *schemaWriter) required(name, kind, doc string, id int) {
	s.text(`{"name":"`, name, `","type":"`, kind, `","doc":"`, doc, `","field-id":`, strconv.Itoa(id), `},`)
}

func (s *schemaWriter) nullable(name, kind, doc string, id int) {
	s.text(`{"name":"`, name, `","type":["null",`, kind, `],"doc":"`, doc, `","default":null,"field-id":`, strconv.Itoa(id), `},`)
}

func (s *schemaWriter) optional(name, kind, doc string, id int) {
	s.nullable(name, `"`+kind+`"`, doc, id)
}

func (s *schemaWriter) list(name, kind, doc string, id, element int) {
	s.nullable(name, fmt.Sprintf(`{"type":"array","items":"%s","element-id":%d}`, kind, element), doc, id)
}

func (s *schemaWriter) byID(name, kind, doc string, id, key, value int) {
	pair := fmt.Sprintf("k%d_v%d", key, value)
	items := s.once(pair, fmt.Sprintf(`{"type":"record","name":"%s","namespace":"","fields":[{"name":"key","type":"int","field-id":%d},{"name":"value","type":"%s","field-id":%d}]}`, pair, key, kind, value))
	s.nullable(name, `{"type":"array","items":`+items+`,"logicalType":"map"}`, doc, id)
}

func (s *schemaWriter) partition(fields []PartitionField) error {
	if s.named["PartitionData"] {
		s.text(`"PartitionData"`)
		return nil
	}
	s.named["PartitionData"] = true
	s.text(`{"type":"record","name":"PartitionData","fields":[`)
	for i, f := range fields {
		kind, err := s.partitionType(f.Type)
		if err != nil {
			return fmt.Errorf("partition field %s: %w", f.Name, err)
		}
		if i > 0 {
			s.text(",")
		}
		name := avroName(f.Name)
		s.text(`{"name":"`, name, `","type":["null",`, kind, `],"default":null,"field-id":`, strconv.Itoa(f.ID))
		if name != f.Name {
			s.text(`,"iceberg-field-name":`, strconv.Quote(f.Name))
		}
		s.text(`}`)
	}
	s.text(`]}`)
	return nil
}

func (s *schemaWriter) partitionType(t string) (string, error) {
	switch t {
	case "boolean", "int", "long", "float", "double", "string":
		return `"` + t + `"`, nil
	case "binary":
		return `"bytes"`, nil
	case "date":
		return `{"type":"int","logicalType":"date"}`, nil
	case "time":
		return `{"type":"long","logicalType":"time-micros"}`, nil
	case "timestamp", "timestamptz":
		return fmt.Sprintf(`{"type":"long","logicalType":"timestamp-micros","adjust-to-utc":%t}`, t == "timestamptz"), nil
	case "timestamp_ns", "timestamptz_ns":
		return fmt.Sprintf(`{"type":"long","logicalType":"timestamp-nanos","adjust-to-utc":%t}`, t == "timestamptz_ns"), nil
	case "uuid":
		return `"uuid_fixed"`, nil
	}
	var precision, scale, size int
	if n, err := fmt.Sscanf(t, "decimal(%d, %d)", &precision, &scale); err == nil && n == 2 {
		name := fmt.Sprintf("decimal_%d_%d", precision, scale)
		return s.once(name, fmt.Sprintf(`{"type":"fixed","name":"%s","namespace":"","size":%d,"logicalType":"decimal","precision":%d,"scale":%d}`,
			name, decimalBytes(precision), precision, scale)), nil
	}
	if n, err := fmt.Sscanf(t, "fixed[%d]", &size); err == nil && n == 1 {
		name := fmt.Sprintf("fixed_%d", size)
		return s.once(name, fmt.Sprintf(`{"type":"fixed","name":"%s","namespace":"","size":%d}`, name, size)), nil
	}
	return "", fmt.Errorf("no Avro form for type %s", t)
}

// decimalBytes is how many bytes hold every number of so many digits.
func decimalBytes(precision int) int {
	largest := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return largest.Sub(largest, big.NewInt(1)).BitLen()/8 + 1
}

// avroName makes a name that Avro takes, as Iceberg's Java library does.
func avroName(name string) string {
	var b strings.Builder
	for i, c := range name {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9'
		switch {
		case letter, digit && i > 0:
			b.WriteRune(c)
		case digit:
			b.WriteString("_" + string(c))
		default:
			b.WriteString("_x" + strings.ToUpper(strconv.FormatInt(int64(c), 16)))
		}
	}
	return cmp.Or(b.String(), "_")
}
