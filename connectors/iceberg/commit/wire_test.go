package commit

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
)

func genID(t *rapid.T) (id [16]byte) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return id
}

func genTP(t *rapid.T) connect.TopicPartition {
	return connect.TopicPartition{
		Topic:     rapid.SampledFrom([]string{"a", "b", "orders.x"}).Draw(t, "topic"),
		Partition: rapid.Int32Range(0, 1<<30).Draw(t, "partition"),
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Cycle{Coordinator: genID(t), Sequence: rapid.Uint64().Draw(t, "seq"), Epoch: rapid.Int32().Draw(t, "epoch"), ConfigHash: rapid.Uint64().Draw(t, "hash"), Commit: genID(t)}
		for range rapid.IntRange(0, 5).Draw(t, "levels") {
			end := rapid.Int64Range(0, 1<<50).Draw(t, "end")
			c.Levels = append(c.Levels, Level{genTP(t), genID(t), end, rapid.Int64Range(0, end).Draw(t, "done")})
			c.Void = append(c.Void, UnitID{genID(t), rapid.Uint64().Draw(t, "counter")})
		}
		for _, l := range c.Levels {
			if rapid.Bool().Draw(t, "stuck") {
				c.Stuck = append(c.Stuck, Stuck{l.TopicPartition, map[Target]int64{{"db.t", "main"}: l.Done, {"db.u", "b"}: l.End}})
			}
		}
		roundTrip(t, c)
		u := &Unit{ID: UnitID{genID(t), 7}, ConfigHash: 1, Cycle: genID(t)}
		for range rapid.IntRange(1, 4).Draw(t, "ranges") {
			first := rapid.Int64Range(-1, 1<<50).Draw(t, "first")
			u.Ranges = append(u.Ranges, Range{genTP(t), genID(t), first, first + rapid.Int64Range(0, 1000).Draw(t, "n"), rapid.Int64Range(None, 1<<45).Draw(t, "newest")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "links") {
			l := Link{Target: Target{"db.t", "main"}, UUID: genID(t), Version: 2, SpecID: 1, Floors: map[int]int64{}, Records: 5, Bytes: rapid.Int64Range(0, 1<<50).Draw(t, "bytes"), Files: rapid.SliceOfN(rapid.Byte(), 0, 20000).Draw(t, "files")}
			if l.Keyed = rapid.Bool().Draw(t, "keyed"); l.Keyed {
				l.DeleteSpecID, l.Deletes = rapid.IntRange(0, 9).Draw(t, "spec"), rapid.SliceOf(rapid.Byte()).Draw(t, "deletes")
			}
			for i := range u.Ranges {
				l.Floors[i] = rapid.Int64Range(-1, 99).Draw(t, "floor")
			}
			u.Links = append(u.Links, l)
		}
		roundTrip(t, u)
	})
}

// roundTrip compares by encoding again, since nil and empty slices mean the same.
func roundTrip(t *rapid.T, m any) {
	b := encodeMessage(m)
	var a assembler
	var whole []byte
	for _, s := range segments(b, [16]byte{9}) {
		if got, ok := a.add(s); ok {
			whole = got
		}
	}
	got, err := decodeMessage(whole)
	if err != nil {
		t.Fatalf("decode %T: %v", m, err)
	}
	if again := encodeMessage(got); !bytes.Equal(again, b) {
		t.Fatalf("%T changed on its way:\n got %+v\nwant %+v", m, got, m)
	}
}

func TestSegments(t *testing.T) {
	message := bytes.Repeat([]byte("0123456789"), 200_000)
	parts := segments(message, [16]byte{1})
	if len(parts) != 4 {
		t.Fatalf("%d segments, want 4", len(parts))
	}
	var a assembler
	for _, i := range []int{2, 0, 2, 3} {
		if _, ok := a.add(parts[i]); ok {
			t.Fatal("whole before the last segment")
		}
	}
	if got, ok := a.add(parts[1]); !ok || !bytes.Equal(got, message) {
		t.Errorf("assembled %d bytes, %v; want %d", len(got), ok, len(message))
	}
	for i := range 3 * maxIncomplete { // never finished: memory stays bounded
		a.add(segments(message, [16]byte{byte(i), 2})[0])
	}
	if len(a.parts) > maxIncomplete {
		t.Errorf("%d messages are awaited, want at most %d", len(a.parts), maxIncomplete)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(encodeMessage(Hello{}))
	f.Add(encodeMessage(&Cycle{Levels: []Level{{TopicPartition: connect.TopicPartition{Topic: "a"}, End: 5, Done: 3}}}))
	f.Add(encodeMessage(&Unit{Ranges: []Range{{First: 1, Next: 2}}, Links: []Link{{Target: Target{Table: "t"}, Floors: map[int]int64{0: 1}}}}))
	f.Add(encodeMessage(&Unit{Ranges: []Range{{First: 1, Next: 2, Newest: None}}, Links: []Link{{Keyed: true, DeleteSpecID: 1, Deletes: []byte("x"), Floors: map[int]int64{}}}}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = decodeMessage(b)
	})
}

func TestFloorsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := Floors{}
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			s := NewSource(rapid.SampledFrom([]string{"connect-a", "connect-b"}).Draw(t, "group"), genTP(t), TopicID{byte(rapid.IntRange(0, 1).Draw(t, "id"))})
			fs[s] = Floor{rapid.Int64Range(-1, 1<<60).Draw(t, "f"), rapid.Int64Range(-1, 1<<60).Draw(t, "d")}
		}
		got, err := ParseFloors(fs.String())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(fs) {
			t.Fatalf("got %v, want %v", got, fs)
		}
		for s, f := range fs {
			if got[s] != f {
				t.Fatalf("%v: got %v, want %v", s, got[s], f)
			}
		}
	})
}

func TestFloorsOfAnotherVersionAreRefused(t *testing.T) {
	for _, text := range []string{"", "2:AAAA", "1:!", "1:AQ"} {
		if fs, err := ParseFloors(text); err == nil {
			t.Errorf("ParseFloors(%q) = %v, want an error", text, fs)
		}
	}
}

// 1,000 partitions: the size that every snapshot and the table property pay.
func TestFloorsSize(t *testing.T) {
	fs := Floors{}
	for p := range int32(1000) {
		fs[NewSource("connect-orders", connect.TopicPartition{Topic: "orders", Partition: p}, TopicID{1})] = Floor{123456789 + int64(p), 123456789}
	}
	if n := len(fs.String()); n > 14_000 {
		t.Errorf("1,000 partitions take %d bytes, want at most 14,000", n)
	}
}

func FuzzParseFloors(f *testing.F) {
	f.Add(Floors{NewSource("g", connect.TopicPartition{Topic: "t"}, TopicID{}): {1, 2}}.String())
	f.Fuzz(func(_ *testing.T, s string) { _, _ = ParseFloors(s) })
}
