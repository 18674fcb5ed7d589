package commit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
)

// An announcement is a Java worker's DataWritten with its place in the control topic.
type announcement struct {
	partition int32
	offset    int64
	event     *javaevent.Event
	written   javaevent.DataWritten
}

// announced collects what Java workers of one identity have announced, by table. What a
// table has already, by its property, is not kept: there may be days of it.
type announced struct {
	cfg     Config
	ends    Positions // of the control topic
	decoder javaevent.Decoder
	have    map[Target]Positions
	byTable map[Target][]announcement
}

// take looks at one value of the control topic.
func (a *announced) take(ctx context.Context, partition int32, offset int64, value []byte) error {
	e, err := a.decoder.Decode(value)
	if errors.Is(err, javaevent.ErrNoEvent) || (err != nil && !bytes.Contains(value, []byte(a.cfg.Identity.Group))) {
		return nil // nobody's announcement, or another connector's: the topic is shared
	}
	if err != nil {
		return &StopError{fmt.Sprintf("control topic, partition %d, offset %d: %v (if it is not an announcement of this connector, "+
			"set the offsets of group %s-coord behind it and restart the connector)", partition, offset, err, a.cfg.Identity.Group)}
	}
	written, ok := e.Payload.(javaevent.DataWritten)
	if !ok || e.Group != a.cfg.Identity.Group || len(written.Data)+len(written.Deletes) == 0 {
		return nil
	}
	target := a.cfg.Target(strings.Join(append(slices.Clone(written.Table.Namespace), written.Table.Name), "."))
	w := announcement{partition, offset, e, written}
	have, ok := a.have[target]
	if !ok {
		t, err := loadAnnounced(ctx, a.cfg, target, w)
		if err != nil {
			return err
		}
		if have, err = readPositions(t, target.Branch, a.cfg.Identity.OffsetsProperty); err != nil {
			return &StopError{fmt.Sprintf("table %s: %v", target.Table, err)}
		}
		if a.have == nil {
			a.have, a.byTable = make(map[Target]Positions), make(map[Target][]announcement)
		}
		have = have.below(a.ends)
		a.have[target] = have
	}
	if offset >= have[partition] {
		a.byTable[target] = append(a.byTable[target], w)
	}
	return nil
}

// loadAnnounced loads the table of an announcement. Java passes over files whose table is
// gone or another one; since their source offsets have moved, that would lose the rows
// without a word.
func loadAnnounced(ctx context.Context, cfg Config, target Target, a announcement) (*table.Table, error) {
	place := fmt.Sprintf("a Java sink has announced files for table %s (control topic, partition %d, offset %d)", target.Table, a.partition, a.offset)
	hint := fmt.Sprintf("(restore the table; or give the files up: set the offsets of group %s-coord behind that and restart the connector)", cfg.Identity.Group)
	t, err := cfg.Catalog.LoadTable(ctx, target.Identifier())
	switch {
	case errors.Is(err, icebergcatalog.ErrNoSuchTable):
		return nil, &StopError{place + ", which does not exist " + hint}
	case err != nil:
		return nil, fmt.Errorf("load table %s: %w", target.Table, err)
	case a.written.Table.UUID != nil && uuid.UUID(*a.written.Table.UUID) != t.Metadata().TableUUID():
		return nil, &StopError{place + ", which was dropped and created again " + hint}
	}
	return t, nil
}

// cuts says how far each of the snapshots goes that take the events in. One is enough,
// unless there are deletes: those reach rows of earlier snapshots only, so the cycles of
// Java's coordinator (commit ids) stay apart, in their order.
func cuts(events []announcement, to Positions) []Positions {
	if !slices.ContainsFunc(events, func(a announcement) bool { return len(a.written.Deletes) > 0 }) {
		return []Positions{to}
	}
	byTime := slices.Clone(events)
	slices.SortStableFunc(byTime, func(x, y announcement) int { return x.event.Time.Compare(y.event.Time) })
	cycles := map[[16]byte]int{}
	for _, a := range byTime {
		if _, ok := cycles[a.written.Commit]; !ok {
			cycles[a.written.Commit] = len(cycles)
		}
	}
	out := make([]Positions, len(cycles))
	for i := range out {
		out[i] = maps.Clone(to)
		for _, a := range events {
			if cycles[a.written.Commit] > i {
				out[i][a.partition] = min(out[i][a.partition], a.offset)
			}
		}
	}
	return out
}

// filesBetween gathers the files that were announced from one position to another, each
// path once, as Java's coordinator does.
func filesBetween(meta table.Metadata, events []announcement, from, to Positions) (delta, error) {
	var d delta
	seen := map[string]bool{}
	for _, a := range events {
		if a.offset < from[a.partition] || a.offset >= to[a.partition] {
			continue
		}
		for _, f := range slices.Concat(a.written.Data, a.written.Deletes) {
			if f.Records == 0 || seen[f.Path] {
				continue
			}
			seen[f.Path] = true
			file, err := dataFile(meta, f)
			if err != nil {
				return delta{}, fmt.Errorf("file %s, announced by a Java sink: %w", f.Path, err)
			}
			if f.Content == 0 {
				d.rows = append(d.rows, file)
			} else {
				d.deletes = append(d.deletes, file)
			}
		}
	}
	return d, nil
}

// dataFile makes the library's form of a file of Java's.
func dataFile(meta table.Metadata, f javaevent.File) (iceberg.DataFile, error) {
	spec := meta.PartitionSpecByID(f.SpecID)
	if spec == nil {
		return nil, fmt.Errorf("the table has no partition spec %d", f.SpecID)
	}
	partition := make(map[int]any, len(f.Partition))
	for _, field := range spec.PartitionType(meta.CurrentSchema()).FieldList {
		v, err := partitionValue(f.Partition[field.ID], field.Type)
		if err != nil {
			return nil, fmt.Errorf("partition field %s: %w", field.Name, err)
		}
		partition[field.ID] = v
	}
	content := []iceberg.ManifestEntryContent{iceberg.EntryContentData, iceberg.EntryContentPosDeletes, iceberg.EntryContentEqDeletes}[f.Content]
	b, err := iceberg.NewDataFileBuilder(*spec, content, f.Path, iceberg.FileFormat(strings.ToUpper(f.Format)), partition, nil, nil, f.Records, f.Bytes)
	if err != nil {
		return nil, err
	}
	b.ColumnSizes(f.ColumnSizes).ValueCounts(f.ValueCounts).NullValueCounts(f.NullCounts).NaNValueCounts(f.NaNCounts).
		LowerBoundValues(f.Lower).UpperBoundValues(f.Upper)
	if f.KeyMetadata != nil {
		b.KeyMetadata(f.KeyMetadata)
	}
	if f.SplitOffsets != nil {
		b.SplitOffsets(f.SplitOffsets)
	}
	if len(f.EqualityIDs) > 0 {
		b.EqualityFieldIDs(f.EqualityIDs)
	}
	if f.SortOrderID != nil {
		b.SortOrderID(*f.SortOrderID)
	}
	if f.Referenced != nil {
		b.ReferencedDataFile(*f.Referenced)
	}
	if f.ContentOffset != nil {
		b.ContentOffset(*f.ContentOffset)
	}
	if f.ContentSize != nil {
		b.ContentSizeInBytes(*f.ContentSize)
	}
	return b.Build(), nil
}

// partitionValue makes the library's form of a value of a partition field.
func partitionValue(v any, t iceberg.Type) (any, error) {
	ok := v == nil
	if ok {
		return nil, nil //nolint:nilnil // null is a value
	}
	var out any
	switch t := t.(type) {
	case iceberg.DateType:
		var n int32
		n, ok = v.(int32)
		out = iceberg.Date(n)
	case iceberg.TimeType:
		var n int64
		n, ok = v.(int64)
		out = iceberg.Time(n)
	case iceberg.TimestampType, iceberg.TimestampTzType:
		var n int64
		n, ok = v.(int64)
		out = iceberg.Timestamp(n)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		var n int64
		n, ok = v.(int64)
		out = iceberg.TimestampNano(n)
	case iceberg.DecimalType:
		var b []byte
		b, ok = v.([]byte)
		ok = ok && len(b) <= 16
		if ok {
			out = iceberg.Decimal{Val: decimal128.FromBigInt(signed(b)), Scale: t.Scale()}
		}
	case iceberg.UUIDType:
		var b []byte
		b, ok = v.([]byte)
		ok = ok && len(b) == 16
		if ok {
			out = uuid.UUID(b)
		}
	case iceberg.FixedType:
		out, ok = v.([]byte)
	case iceberg.BinaryType:
		var b javaevent.Binary
		b, ok = v.(javaevent.Binary)
		out = []byte(b)
	case iceberg.BooleanType:
		out, ok = v.(bool)
	case iceberg.Int32Type:
		out, ok = v.(int32)
	case iceberg.Int64Type:
		out, ok = v.(int64)
	case iceberg.Float32Type:
		out, ok = v.(float32)
	case iceberg.Float64Type:
		out, ok = v.(float64)
	case iceberg.StringType:
		out, ok = v.(string)
	}
	if !ok {
		return nil, fmt.Errorf("a value of type %T cannot be %s", v, t)
	}
	return out, nil
}

// signed reads a big-endian number in two's complement.
func signed(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}
