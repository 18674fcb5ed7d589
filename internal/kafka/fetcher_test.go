package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firn-io/firn/connect"
)

func (fx *fixture) fetcher(pairs ...string) *Fetcher {
	fx.t.Helper()
	f, err := NewFetcher(fx.config("fetcher", pairs...))
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.t.Cleanup(func() { closed(f) })
	return f
}

// drain polls until nothing has come for a second, and says what came: values of
// records, or errors, by partition.
func (fx *fixture) drain(f *Fetcher) string {
	fx.t.Helper()
	var out []string
	for {
		got, err := f.Poll(fx.t.Context(), time.Second)
		if err != nil {
			fx.t.Fatal(err)
		}
		if len(got) == 0 {
			return strings.Join(out, " ")
		}
		for _, g := range got {
			if g.Err != nil {
				out = append(out, fmt.Sprintf("[%v]", g.Err))
			}
			var r Raw
			for i := range g.Len() {
				g.At(i, &r)
				out = append(out, string(r.Value))
			}
		}
	}
}

func TestFetcherSeekPauseRemove(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		fx.produce(numbered("orders", 0, 0, 3)...)
		fx.produce(numbered("orders", 0, 3, 2)...)
		fx.produce(numbered("orders", 1, 10, 2)...)
		f := fx.fetcher()
		zero, one := tp("orders", 0), tp("orders", 1)
		check := func(what, want string) {
			t.Helper()
			if got := fx.drain(f); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}
		f.Add(zero, 0)
		check("from the start", "0 1 2 3 4")
		f.Seek(zero, 1)
		check("from within a batch", "1 2 3 4")
		if at, ok := f.Position(zero); at != 5 || !ok {
			t.Errorf("position %d %v, want 5", at, ok)
		}
		f.Pause(zero)
		f.Seek(zero, 4)
		f.Add(one, 0)
		check("a pause of another partition", "10 11")
		f.Resume(zero)
		check("resumed", "4")
		f.Remove(zero)
		fx.produce(numbered("orders", 0, 5, 1)...)
		check("removed", "")
		f.Add(zero, 5)
		check("added again", "5")

		f.Seek(zero, 0)
		f.Seek(one, 0)
		if _, err := f.Poll(t.Context(), time.Second); err != nil { // the next answers are under way now
			t.Fatal(err)
		}
		synctest.Wait()
		f.Seek(zero, 3)
		f.Seek(one, 1)
		if got := fx.drain(f); len(got) != len("3 4 5 11") || !strings.Contains(got, "3 4 5") || !strings.Contains(got, "11") {
			t.Errorf("seek with an answer under way: got %q", got)
		}
	}, kfake.SeedTopics(2, "orders"))
}

func TestFetcherWakeAndContext(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		f := fx.fetcher()
		f.Add(tp("orders", 0), 0)
		start := time.Now()
		time.AfterFunc(3*time.Second, f.Wake)
		if got, err := f.Poll(t.Context(), time.Hour); got != nil || err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("woken: %v %v after %v", got, err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Poll(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("context: %v", err)
		}
	}, kfake.SeedTopics(1, "orders"))
}

func TestFetcherTrouble(t *testing.T) {
	tests := []struct {
		name string
		do   func(fx *fixture, f *Fetcher)
		want string
	}{
		{"leader moves", func(fx *fixture, _ *Fetcher) {
			for _, to := range []int32{0, 1, 2} {
				if err := fx.MoveTopicPartition("orders", 0, to); err != nil {
					fx.t.Fatal(err)
				}
				fx.produce(numbered("orders", 0, int(to), 1)...)
			}
		}, "0 1 2"},
		{"broker refuses for a while", func(fx *fixture, _ *Fetcher) {
			fx.fault(kmsg.Fetch, kerr.UnknownServerError, 0)
			fx.fault(kmsg.Fetch, kerr.LeaderNotAvailable, 2)
			fx.produce(numbered("orders", 0, 0, 1)...)
		}, "[fetch orders-0: kafka server: Unexpected (unknown?) server error] 0"},
		{"connections cut", func(fx *fixture, _ *Fetcher) {
			fx.plug("fetcher", false)
			time.AfterFunc(500*time.Millisecond, func() { fx.plug("fetcher", true) })
			fx.produce(numbered("orders", 0, 0, 1)...)
			time.Sleep(time.Second)
		}, "0"},
		{"below the start", func(fx *fixture, f *Fetcher) {
			fx.produce(numbered("orders", 0, 0, 5)...)
			if err := fx.DeleteRecords("orders", 0, 3); err != nil {
				fx.t.Fatal(err)
			}
			f.Seek(tp("orders", 0), 1)
		}, "[fetch position 1 of orders-0 is out of range: the log has offsets 3 to 5]"},
		{"beyond the end", func(fx *fixture, f *Fetcher) {
			fx.produce(numbered("orders", 0, 0, 5)...)
			f.Seek(tp("orders", 0), 9)
		}, "[fetch position 9 of orders-0 is out of range: the log has offsets 0 to 5]"},
		{"no such partition", func(_ *fixture, f *Fetcher) {
			f.Remove(tp("orders", 0))
			f.Add(tp("orders", 7), 0)
		}, "[partition orders-7: topic or partition does not exist]"},
		{"not allowed", func(fx *fixture, _ *Fetcher) {
			fx.fault(kmsg.Fetch, kerr.TopicAuthorizationFailed, 3)
			fx.produce(numbered("orders", 0, 0, 1)...)
		}, "[fetch orders-0: not authorized: kafka server: The client is not authorized to access this topic] 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fx *fixture) {
				f := fx.fetcher()
				f.Add(tp("orders", 0), 0)
				if got := fx.drain(f); got != "" {
					t.Fatalf("before: %q", got)
				}
				tt.do(fx, f)
				if got := fx.drain(f); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}, kfake.SeedTopics(1, "orders"))
		})
	}
}

func TestFetcherSeesTopicMadeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		fx.produce(numbered("orders", 0, 0, 5)...)
		f := fx.fetcher()
		at := tp("orders", 0)
		f.Add(at, 0)
		if got := fx.drain(f); got != "0 1 2 3 4" {
			t.Fatalf("before: %q", got)
		}
		if err := fx.DeleteTopic("orders"); err != nil {
			t.Fatal(err)
		}
		if got := fx.drain(f); got != "[partition orders-0: topic or partition does not exist]" {
			t.Errorf("deleted: %q", got)
		}
		if err := fx.CreateTopic("orders", 1, nil); err != nil {
			t.Fatal(err)
		}
		if got := fx.drain(f); !strings.Contains(got, "was created again") {
			t.Errorf("made again: %q", got)
		}
		fx.produce(numbered("orders", 0, 7, 1)...)
		f.Seek(at, 0)
		if got := fx.drain(f); got != "7" {
			t.Errorf("after seek: %q", got)
		}
	}, kfake.SeedTopics(1, "orders"))
}

// A broker that refuses must not be asked all the time.
func TestFetcherDoesNotSpin(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		f := fx.fetcher()
		f.Add(tp("orders", 0), 0)
		refused := fx.fault(kmsg.Fetch, kerr.NotLeaderForPartition, -1)
		looked := fx.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
		for start := time.Now(); time.Since(start) < time.Minute; {
			if _, err := f.Poll(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if n, m := refused.Hits(), looked.Hits(); n < 40 || n > 100 || m < 40 || m > 100 {
			t.Errorf("%d fetches and %d look-ups in a minute, want about one a second", n, m)
		}
	}, kfake.SeedTopics(1, "orders"))
}

// A txn sends transactions with raw requests.
type txn struct {
	fx *fixture
	cl *cluster
	co *conn
	id *sarama.InitProducerIDResponse
	no int32 // next sequence
}

func (fx *fixture) txn(name string) *txn {
	fx.t.Helper()
	ctx := fx.t.Context()
	x := &txn{fx: fx, cl: newCluster(fx.config("txn-" + name))}
	fx.t.Cleanup(x.cl.close)
	must := func(err error) {
		if err != nil {
			fx.t.Fatal(err)
		}
	}
	cn, err := x.cl.any(ctx)
	must(err)
	found, err := roundTrip(ctx, cn, (*sarama.Broker).FindCoordinator, &sarama.FindCoordinatorRequest{Version: 3, CoordinatorKey: name, CoordinatorType: sarama.CoordinatorTransaction})
	must(err)
	x.co, err = x.cl.at(ctx, found.Coordinator.Addr())
	must(err)
	x.id, err = roundTrip(ctx, x.co, (*sarama.Broker).InitProducerID, &sarama.InitProducerIDRequest{Version: 4, TransactionalID: &name, TransactionTimeout: time.Minute, ProducerID: -1, ProducerEpoch: -1})
	must(err)
	must(failure(x.id.Err))
	return x
}

func (x *txn) send(name string, values ...string) {
	t, ctx := x.fx.t, x.fx.t.Context()
	t.Helper()
	added, err := roundTrip(ctx, x.co, (*sarama.Broker).AddPartitionsToTxn, &sarama.AddPartitionsToTxnRequest{
		TransactionalID: name, ProducerID: x.id.ProducerID, ProducerEpoch: x.id.ProducerEpoch, TopicPartitions: map[string][]int32{"orders": {0}},
	})
	if err != nil || added.Errors["orders"][0].Err != sarama.ErrNoError {
		t.Fatal(added, err)
	}
	var ds []*Delivery
	for _, v := range values {
		ds = append(ds, &Delivery{message: Message{Value: []byte(v), Timestamp: time.Now()}})
	}
	b := recordBatch(ds)
	b.IsTransactional, b.ProducerID, b.ProducerEpoch, b.FirstSequence = true, x.id.ProducerID, x.id.ProducerEpoch, x.no
	x.no += int32(len(values))
	if err := x.cl.refresh(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	addr, err := x.cl.leader(tp("orders", 0))
	if err != nil {
		t.Fatal(err)
	}
	cn, err := x.cl.at(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	rq := &sarama.ProduceRequest{Version: 9, TransactionalID: &name, RequiredAcks: sarama.WaitForAll, Timeout: 1000}
	rq.AddBatch("orders", 0, b)
	rs, err := roundTrip(ctx, cn, (*sarama.Broker).Produce, rq)
	if err != nil || rs.GetBlock("orders", 0).Err != sarama.ErrNoError {
		t.Fatal(rs, err)
	}
}

func (x *txn) end(name string, commit bool) {
	x.fx.t.Helper()
	rs, err := roundTrip(x.fx.t.Context(), x.co, (*sarama.Broker).EndTxn, &sarama.EndTxnRequest{
		Version: 2, TransactionalID: name, ProducerID: x.id.ProducerID, ProducerEpoch: x.id.ProducerEpoch, TransactionResult: commit,
	})
	if err != nil || rs.Err != sarama.ErrNoError {
		x.fx.t.Fatal(rs, err)
	}
}

func TestFetcherReadCommitted(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a, b := fx.txn("a"), fx.txn("b")
		a.send("a", "a1")
		b.send("b", "b1")
		fx.produce(numbered("orders", 0, 0, 1)...)
		a.send("a", "a2")
		b.end("b", true)
		a.end("a", false)
		a.send("a", "a3")
		a.end("a", true)
		b.send("b", "b2", "b3")
		b.end("b", false)

		at := tp("orders", 0)
		for isolation, want := range map[string]string{"read_committed": "b1 0 a3", "read_uncommitted": "a1 b1 0 a2 a3 b2 b3"} {
			f := fx.fetcher("isolation.level", isolation)
			f.Add(at, 0)
			if got := fx.drain(f); got != want {
				t.Errorf("%s: got %q, want %q", isolation, got, want)
			}
			if next, _ := f.Position(at); next != 11 { // 7 records and 4 markers
				t.Errorf("%s: position %d, want 11", isolation, next)
			}
		}

		b.send("b", "open")
		f := fx.fetcher("isolation.level", "read_committed")
		f.Add(at, 10)
		if got := fx.drain(f); got != "" {
			t.Errorf("an open transaction: %q", got)
		}
		b.end("b", true)
		if got := fx.drain(f); got != "open" {
			t.Errorf("a committed transaction: %q", got)
		}
	}, kfake.SeedTopics(1, "orders"))
}

// Compaction leaves gaps, and empty batches that sarama hides.
func TestFetcherPassesEmptyBatches(t *testing.T) {
	var block sarama.FetchResponseBlock
	if got := afterEmpty(&block); got != 0 {
		t.Errorf("no batches: %d", got)
	}
	var set sarama.Records
	set.RecordBatch = &sarama.RecordBatch{FirstOffset: 40, LastOffsetDelta: 9, Version: 2, Records: []*sarama.Record{}}
	answer := &sarama.FetchResponse{Version: 11, Blocks: map[string]map[int32]*sarama.FetchResponseBlock{"orders": {0: {RecordsSet: []*sarama.Records{&set}, HighWaterMarkOffset: 60}}}}
	decoded := reply(t, answer)
	got, err := read(tp("orders", 0), 40, decoded.GetBlock("orders", 0), false)
	if err != nil || got.Next != 50 || got.Len() != 0 {
		t.Errorf("an empty batch: next %d, %d records, %v; want 50", got.Next, got.Len(), err)
	}
}

// reply sends an answer through sarama's own codec, by way of its mock broker.
func reply(t *testing.T, answer *sarama.FetchResponse) *sarama.FetchResponse {
	t.Helper()
	mock := sarama.NewMockBroker(t, 1)
	defer mock.Close()
	mock.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t),
		"FetchRequest":       sarama.NewMockSequence(answer),
	})
	cfg, err := NewConfig(map[string]string{"bootstrap.servers": mock.Addr()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cn, err := cfg.connect(t.Context(), mock.Addr(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer cn.close()
	got, err := roundTrip(t.Context(), cn, (*sarama.Broker).Fetch, &sarama.FetchRequest{Version: 11})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFetchedAt(t *testing.T) {
	base := time.UnixMilli(1000)
	f := Fetched{TopicPartition: connect.TopicPartition{Topic: "orders", Partition: 3}}
	f.keep(&sarama.RecordBatch{FirstOffset: 5, FirstTimestamp: base, MaxTimestamp: base, Records: []*sarama.Record{
		{OffsetDelta: 0}, {OffsetDelta: 2, TimestampDelta: 7 * time.Millisecond}, {OffsetDelta: 3, Headers: []*sarama.RecordHeader{{Key: []byte("h"), Value: []byte("v")}}},
	}}, 6)
	f.keep(&sarama.RecordBatch{FirstOffset: 20, LogAppendTime: true, MaxTimestamp: base, Records: []*sarama.Record{{}}}, 6)
	f.keep(&sarama.RecordBatch{FirstOffset: 21, Records: []*sarama.Record{{}}}, 6)
	var r Raw
	for _, i := range []int{0, 1, 2, 3, 0, 3, 1, 2} {
		f.At(i, &r)
		want := []Raw{
			{3, connect.CreateTime, 7, 1007, nil, nil, nil},
			{3, connect.CreateTime, 8, 1000, nil, nil, []connect.Header{{Key: "h", Value: []byte("v")}}},
			{3, connect.LogAppendTime, 20, 1000, nil, nil, nil},
			{3, connect.CreateTime, 21, -1, nil, nil, nil},
		}[i]
		if fmt.Sprint(r) != fmt.Sprint(want) {
			t.Errorf("At(%d) = %v, want %v", i, r, want)
		}
	}
	if f.Len() != 4 {
		t.Errorf("%d records, want 4", f.Len())
	}
}
