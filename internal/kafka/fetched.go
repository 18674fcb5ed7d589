package kafka

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"time"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// Fetched is a run of records of one partition, or what is wrong with the partition.
// Its memory is not reused: it stays valid as long as it is referenced.
type Fetched struct {
	connect.TopicPartition
	TopicID       [16]byte // zero if the broker tells none
	Next          int64    // position after it; counts control, aborted and compacted records
	HighWatermark int64    // end of the log; with read_committed, of its stable part
	Err           error    // see Fetcher.Poll; Len is 0 then

	batches []batch
	at      int // the batch that was looked into last
	n       int
}

// A batch is a record batch of the log, without the records below the position.
type batch struct {
	records   []*sarama.Record
	from      int   // index in the Fetched of its first record
	offset    int64 // what offset deltas are relative to
	timestamp int64 // what timestamp deltas are relative to; -1 for none
	appended  bool  // timestamp is that of the log append, and of all records
}

// Raw is one record as it came over the wire. Its bytes share memory with the Fetched.
type Raw struct {
	Partition     int32
	TimestampType connect.TimestampType
	Offset        int64
	Timestamp     int64 // milliseconds since the epoch, -1 for none
	Key, Value    []byte
	Headers       []connect.Header
}

// Len is the number of records. It may be 0: only the position has moved.
func (f *Fetched) Len() int { return f.n }

// At fills r with record i. It allocates only for headers. In-order access is fastest.
func (f *Fetched) At(i int, r *Raw) {
	b := &f.batches[f.at]
	if uint(i-b.from) >= uint(len(b.records)) {
		b = f.seek(i)
	}
	rec := b.records[i-b.from]
	r.Partition = f.Partition
	r.Offset = b.offset + rec.OffsetDelta
	r.Timestamp, r.TimestampType = b.timestamp, connect.LogAppendTime
	if !b.appended {
		r.TimestampType = connect.CreateTime
		if b.timestamp >= 0 {
			r.Timestamp += int64(rec.TimestampDelta / time.Millisecond)
		}
	}
	r.Key, r.Value, r.Headers = rec.Key, rec.Value, nil
	if len(rec.Headers) > 0 {
		r.Headers = headersOf(rec)
	}
}

func (f *Fetched) seek(i int) *batch {
	if next := f.at + 1; next < len(f.batches) && f.batches[next].from == i {
		f.at = next
	} else {
		f.at = sort.Search(len(f.batches), func(k int) bool { return f.batches[k].from > i }) - 1
	}
	return &f.batches[f.at]
}

func headersOf(rec *sarama.Record) []connect.Header {
	out := make([]connect.Header, len(rec.Headers))
	for i, h := range rec.Headers {
		out[i] = connect.Header{Key: string(h.Key), Value: h.Value}
	}
	return out
}

func (f *Fetched) add(b batch) {
	b.from = f.n
	f.n += len(b.records)
	f.batches = append(f.batches, b)
}

// progress is how far an answer brought a partition.
type progress struct {
	Fetched

	// cut says that the answer held nothing but the beginning of a batch: the partition
	// needs a larger share of the next answer.
	cut bool
}

// read makes a Fetched of an answer for a partition that was asked from position next on.
func read(tp connect.TopicPartition, next int64, block *sarama.FetchResponseBlock, committed bool) (progress, error) {
	out := progress{Fetched: Fetched{TopicPartition: tp, Next: next, HighWatermark: block.HighWaterMarkOffset}}
	if committed {
		out.HighWatermark = block.LastStableOffset
	}
	aborted := abortedBy{pending: block.AbortedTransactions}
	slices.SortFunc(aborted.pending, func(a, b *sarama.AbortedTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })

	for _, set := range block.RecordsSet {
		b := set.RecordBatch
		if b == nil {
			return out, fmt.Errorf("fetch %s at %d: %w", tp, out.Next, errFormat)
		}
		if b.PartialTrailingRecord {
			out.cut = out.Next >= b.FirstOffset && out.n == 0
			out.Next = max(out.Next, b.FirstOffset) // what is before it is whole
			break
		}
		skip := b.Control || committed && aborted.covers(b)
		if committed && b.Control {
			aborted.end(b)
		}
		if !skip {
			out.keep(b, next)
		}
		out.Next = max(out.Next, b.LastOffset()+1)
	}
	if len(block.RecordsSet) == 0 && !block.Partial {
		out.Next = max(out.Next, afterEmpty(block))
	}
	out.cut = out.cut || block.Partial
	return out, nil
}

// keep adds the records of b from offset next on: an answer begins with whole batches.
func (f *Fetched) keep(b *sarama.RecordBatch, next int64) {
	records := b.Records
	if b.FirstOffset < next {
		first, _ := slices.BinarySearchFunc(records, next-b.FirstOffset, func(r *sarama.Record, delta int64) int { return cmp.Compare(r.OffsetDelta, delta) })
		records = records[first:]
	}
	if len(records) == 0 {
		return
	}
	timestamp := b.FirstTimestamp
	if b.LogAppendTime {
		timestamp = b.MaxTimestamp
	}
	add := batch{records: records, offset: b.FirstOffset, timestamp: -1, appended: b.LogAppendTime}
	if !timestamp.IsZero() {
		add.timestamp = timestamp.UnixMilli()
	}
	f.add(add)
}

// afterEmpty is the offset after an answer of nothing but batches that compaction has
// emptied. Sarama leaves such batches out of RecordsSet and notes where they end in a
// field of its own; without it a reader would ask for the same offset for ever.
func afterEmpty(block *sarama.FetchResponseBlock) int64 {
	next := reflect.ValueOf(block).Elem().FieldByName("recordsNextOffset")
	if next.Kind() != reflect.Pointer || next.IsNil() {
		return 0
	}
	return next.Elem().Int()
}

// abortedBy knows, along the batches of an answer, which producers are within a
// transaction that will be aborted (as Java's CompletedFetch).
type abortedBy struct {
	pending []*sarama.AbortedTransaction // in order of first offset
	now     map[int64]bool               // producer ids
}

func (a *abortedBy) covers(b *sarama.RecordBatch) bool {
	for len(a.pending) > 0 && a.pending[0].FirstOffset <= b.LastOffset() {
		if a.now == nil {
			a.now = map[int64]bool{}
		}
		a.now[a.pending[0].ProducerID] = true
		a.pending = a.pending[1:]
	}
	return b.IsTransactional && a.now[b.ProducerID]
}

// end looks at a control batch: an abort marker (version, then type 0) ends a transaction.
func (a *abortedBy) end(b *sarama.RecordBatch) {
	if len(b.Records) > 0 && len(b.Records[0].Key) >= 4 && b.Records[0].Key[2] == 0 && b.Records[0].Key[3] == 0 {
		delete(a.now, b.ProducerID)
	}
}
