package commit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// A keyedTable is a table of (k, v, p) with a publisher and units for it.
type keyedTable struct {
	t       *testing.T
	catalog *icetest.Catalog
	target  Target
	levels  []Level
	units   []*Unit
	through int64 // watermark
}

func newKeyedTable(t *testing.T, version int, partitionBy ...string) *keyedTable {
	t.Helper()
	k := &keyedTable{t: t, catalog: icetest.New(icetest.NewFiles()), target: Target{"db.k", "main"}, through: None}
	ctx := t.Context()
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "p", Type: iceberg.PrimitiveTypes.String})
	var fields []iceberg.PartitionField
	for i, name := range partitionBy {
		f, _ := schema.FindFieldByName(name)
		fields = append(fields, iceberg.PartitionField{SourceIDs: []int{f.ID}, FieldID: 1000 + i, Name: name + "_part", Transform: iceberg.IdentityTransform{}})
	}
	spec := iceberg.NewPartitionSpec(fields...)
	if err := k.catalog.CreateNamespace(ctx, table.Identifier{"db"}, nil); err != nil {
		t.Fatal(err)
	}
	props := iceberg.Properties{table.PropertyFormatVersion: strconv.Itoa(version)}
	if _, err := k.catalog.CreateTable(ctx, k.target.Identifier(), schema, icebergcatalog.WithPartitionSpec(&spec), icebergcatalog.WithProperties(props)); err != nil {
		t.Fatal(err)
	}
	for p := range int32(4) {
		k.levels = append(k.levels, Level{TopicPartition: tp(p), TopicID: TopicID{7}})
	}
	return k
}

func (k *keyedTable) load() *table.Table {
	k.t.Helper()
	t, err := k.catalog.Peek(k.target.Identifier())
	if err != nil {
		k.t.Fatal(err)
	}
	return t
}

// global adds a spec without partitions, for deletes, and returns it.
func (k *keyedTable) global() iceberg.PartitionSpec {
	k.t.Helper()
	add := table.NewAddPartitionSpecUpdate(iceberg.UnpartitionedSpec, false)
	if _, _, err := k.catalog.CommitTable(k.t.Context(), k.target.Identifier(), nil, []table.Update{add}); err != nil {
		k.t.Fatal(err)
	}
	for _, s := range k.load().Metadata().PartitionSpecs() {
		if s.IsUnpartitioned() {
			return s
		}
	}
	k.t.Fatal("the spec was not added")
	return iceberg.PartitionSpec{}
}

// unit is a link that writes rows and deletes keys, of the range [first, next) of source
// partition p. Rows are written as k=v or k=v@partition.
func (k *keyedTable) unit(p int32, first, next int64, keyed bool, spec iceberg.PartitionSpec, deletes []int64, rows ...string) *Unit {
	k.t.Helper()
	t := k.load()
	l := Link{Target: k.target, UUID: t.Metadata().TableUUID(), Version: t.Metadata().Version(), SpecID: t.Metadata().DefaultPartitionSpec(), Floors: map[int]int64{0: None}, Keyed: keyed}
	if first > 0 {
		l.Floors[0] = first
	}
	var files, gone []iceberg.DataFile
	for _, text := range rows {
		file, err := writeRow(k.t.Context(), t, text)
		if err != nil {
			k.t.Fatal(err)
		}
		files = append(files, file)
	}
	for _, key := range deletes {
		var partition map[int]any
		if !spec.IsUnpartitioned() {
			partition = map[int]any{1000: key}
		}
		f, err := icetest.WriteDeletes(k.t.Context(), t, spec, partition, []string{"k"}, icetest.Row{"k": key})
		if err != nil {
			k.t.Fatal(err)
		}
		gone = append(gone, f)
	}
	var err error
	if l.Files, err = EncodeFiles(l.Version, t.Spec(), t.Schema(), files); err != nil {
		k.t.Fatal(err)
	}
	l.DeleteSpecID = spec.ID()
	if l.Deletes, err = EncodeDeletes(l.Version, spec, t.Schema(), gone); err != nil {
		k.t.Fatal(err)
	}
	u := unit(uint64(len(k.units)+1), int64(p), first, next)
	u.Links = []Link{l}
	m, err := decodeMessage(encodeMessage(u))
	if err != nil {
		k.t.Fatal(err)
	}
	k.units = append(k.units, m.(*Unit))
	return m.(*Unit)
}

func writeRow(ctx context.Context, t *table.Table, text string) (iceberg.DataFile, error) {
	key, v, _ := strings.Cut(text, "=")
	v, part, _ := strings.Cut(v, "@")
	n, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return nil, err
	}
	values := map[int]any{}
	spec := t.Spec()
	for _, f := range spec.Fields() {
		if f.SourceIDs[0] == 1 {
			values[f.FieldID] = n
		} else {
			values[f.FieldID] = part
		}
	}
	return icetest.WritePartition(ctx, t, values, icetest.Row{"k": n, "v": v, "p": part})
}

// publish commits the units, and returns the rows as k=v, sorted.
func (k *keyedTable) publish(units ...*Unit) []string {
	k.t.Helper()
	out, err := k.try(units...)
	for try := 0; err != nil && try < 3; try++ { // as the coordinator does
		out, err = k.try(units...)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	if out.refused != nil {
		k.t.Fatalf("unit %s refused: %s", out.refused.ID, out.reason)
	}
	return k.rows()
}

func (k *keyedTable) try(units ...*Unit) (outcome, error) {
	p := &publisher{catalog: k.catalog, group: "connect-x", task: "x-0", watermark: apacheWatermark, through: k.through}
	return p.publish(k.t.Context(), k.target, units, k.levels, [16]byte{1})
}

func (k *keyedTable) rows() []string {
	k.t.Helper()
	rows, err := icetest.ReadRows(k.t.Context(), k.load())
	if err != nil {
		k.t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, strconv.FormatInt(r["k"].(int64), 10)+"="+r["v"].(string))
	}
	slices.Sort(out)
	return out
}

func (k *keyedTable) snapshots() int { return len(k.load().Metadata().Snapshots()) }

func TestKeyedUnitsFollowEachOther(t *testing.T) {
	for _, version := range []int{2, 3} {
		t.Run("v"+strconv.Itoa(version), func(t *testing.T) {
			k := newKeyedTable(t, version)
			spec := k.load().Spec()
			k.publish(k.unit(0, 0, 5, true, spec, nil, "1=a", "2=b", "3=c"))
			got := k.publish(
				k.unit(0, 5, 9, true, spec, []int64{1, 2}, "1=d"),
				k.unit(1, 0, 4, true, spec, []int64{1, 4}, "1=e", "4=f"), // the key of another task's unit
				k.unit(2, 0, 2, true, spec, []int64{4}),                  // deletes alone
			)
			if want := []string{"1=e", "3=c"}; !slices.Equal(got, want) {
				t.Errorf("rows %v, want %v", got, want)
			}
			if n := k.snapshots(); n != 4 {
				t.Errorf("%d snapshots, want one for each unit", n)
			}
			again := k.publish(k.units...)
			if n := k.snapshots(); n != 4 || !slices.Equal(again, []string{"1=e", "3=c"}) {
				t.Errorf("after the same units again: %d snapshots, rows %v", n, again)
			}
		})
	}
}

// Links of a table that only appends still share a snapshot.
func TestAppendsShareASnapshot(t *testing.T) {
	k := newKeyedTable(t, 2)
	spec := k.load().Spec()
	k.publish(k.unit(0, 0, 5, false, spec, nil, "1=a"), k.unit(1, 0, 5, false, spec, nil, "2=b"), k.unit(2, 0, 5, true, spec, []int64{1}, "1=c"), k.unit(3, 0, 5, false, spec, nil, "4=d"))
	if got, want := k.rows(), []string{"1=c", "2=b", "4=d"}; !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
	if n := k.snapshots(); n != 3 {
		t.Errorf("%d snapshots, want 3", n)
	}
}

// A reply that is lost between the commits of one publish: what landed is not repeated.
func TestKeyedUnitsAfterALostReply(t *testing.T) {
	for lost := range 2 {
		k := newKeyedTable(t, 2)
		spec := k.load().Spec()
		var units []*Unit
		for i := range int64(mostSnapshots + 1) {
			units = append(units, k.unit(int32(i%3), i/3, i/3+1, true, spec, []int64{1, 2}, fmt.Sprintf("1=%d", i), fmt.Sprintf("2=%d", i)))
		}
		replies := []icetest.Fault{{}, {}}
		replies[lost].After = errors.New("no reply")
		k.catalog.Inject(icetest.Commit, replies...)
		before := k.catalog.Calls(icetest.Commit)
		got := k.publish(units...)
		if want := []string{"1=16", "2=16"}; !slices.Equal(got, want) || k.snapshots() != len(units) {
			t.Errorf("reply %d lost: rows %v in %d snapshots, want %v in %d", lost, got, k.snapshots(), want, len(units))
		}
		if n := k.catalog.Calls(icetest.Commit) - before; n != 2 {
			t.Errorf("reply %d lost: %d commits, want 2", lost, n)
		}
		floors, err := ReadFloors(k.load(), "main")
		if err != nil {
			t.Fatal(err)
		}
		var fs []int64
		for _, f := range floors {
			fs = append(fs, f.F)
		}
		if slices.Sort(fs); !slices.Equal(fs, []int64{None, 5, 6, 6}) {
			t.Errorf("reply %d lost: floors %v", lost, floors)
		}
	}
}

// A row that moved to another partition is reached by a global delete.
func TestGlobalDeletesReachOldPartitions(t *testing.T) {
	for _, version := range []int{2, 3} {
		k := newKeyedTable(t, version, "p")
		global := k.global()
		k.publish(k.unit(0, 0, 5, true, global, nil, "1=a@x", "2=b@x"))
		got := k.publish(k.unit(0, 5, 6, true, global, []int64{1}, "1=c@y"))
		if want := []string{"1=c", "2=b"}; !slices.Equal(got, want) {
			t.Errorf("version %d: rows %v, want %v", version, got, want)
		}
	}
}

func TestDeletesThatMissRowsAreRefused(t *testing.T) {
	k := newKeyedTable(t, 2, "k")
	scoped := k.load().Spec()
	k.publish(k.unit(0, 0, 5, true, scoped, []int64{1}, "1=a"))
	u := k.unit(0, 5, 6, true, scoped, []int64{1}, "1=b")
	k.global() // any second spec: rows may lie under it
	out, err := k.try(u)
	if err != nil {
		t.Fatal(err)
	}
	if out.refused != u || !strings.Contains(out.reason, "the table has others now") {
		t.Errorf("refused %v: %s", out.refused, out.reason)
	}
	deletes, err := DecodeDeletes(2, 9, u.Links[0].Deletes)
	if err != nil {
		t.Fatal(err)
	}
	if err := reaches(k.load().Metadata(), deletes); err == nil || !strings.Contains(err.Error(), "no partition spec 9") {
		t.Errorf("spec 9: %v", err)
	}
}

// A release that knows no keys still understands every unit without one: the bytes are
// those that it wrote itself.
func TestUnitsWithoutKeysAreOfVersion1(t *testing.T) {
	u := unit(7, 0, 10, 15)
	u.Links = []Link{{Target: Target{"db.t", "main"}, Version: 2, SpecID: 1, Floors: map[int]int64{0: 10}, Records: 5, Files: []byte("files")}}
	const want = "0102" + "0000000000000000000000000000000007" + "0000000000000001" + "00000000000000000000000000000000" +
		"01066f7264657273" + "010000140a" + "010464622e74046d61696e" + "00000000000000000000000000000000" + "0201" + "010014" + "05" + "0566696c6573"
	if got := hex.EncodeToString(encodeMessage(u)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	u.Links = append(u.Links, Link{Target: Target{"db.k", "main"}, Keyed: true, DeleteSpecID: 3, Deletes: []byte("deletes"), Floors: map[int]int64{}})
	b := encodeMessage(u)
	if b[0] != keyedVersion {
		t.Errorf("a unit with a keyed link has version %d", b[0])
	}
	m, err := decodeMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	links := m.(*Unit).Links
	if links[0].Keyed || string(links[0].Files) != "files" || !links[1].Keyed || links[1].DeleteSpecID != 3 || string(links[1].Deletes) != "deletes" {
		t.Errorf("links %+v", links)
	}
	b[0] = timedVersion + 1
	if _, err := decodeMessage(b); err == nil || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("a newer version: %v", err)
	}
}

// What a message says are manifests may be anything: errors, never a panic.
func FuzzDecodeFiles(f *testing.F) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64, Required: true})
	for content, encode := range map[iceberg.ManifestEntryContent]func(int, iceberg.PartitionSpec, *iceberg.Schema, []iceberg.DataFile) ([]byte, error){
		iceberg.EntryContentData: EncodeFiles, iceberg.EntryContentEqDeletes: EncodeDeletes,
	} {
		b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, content, "mem://t/a.parquet", iceberg.ParquetFile, nil, nil, nil, 1, 100)
		if err != nil {
			f.Fatal(err)
		}
		if content == iceberg.EntryContentEqDeletes {
			b.EqualityFieldIDs([]int{1})
		}
		manifest, err := encode(2, *iceberg.UnpartitionedSpec, schema, []iceberg.DataFile{b.Build()})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(manifest)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err1 := DecodeFiles(2, 0, b)
		deletes, err2 := DecodeDeletes(2, 0, b)
		if err1 == nil && err2 == nil && len(rows)+len(deletes) > 0 {
			t.Errorf("taken for %d data files and for %d delete files", len(rows), len(deletes))
		}
	})
}
