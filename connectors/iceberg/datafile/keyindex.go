package datafile

import "hash/maphash"

// A keyIndex knows the keys of the rows at hand, each by its bytes. It does not allocate
// for a key that it knows.
type keyIndex struct {
	seed    maphash.Seed
	slots   []int32 // 1 + the place in entries; 0: free; their number is a power of 2
	entries []keyEntry
	bytes   []byte // the keys, one after the other
}

// A keyEntry is what the records so far have made of the row of one key.
type keyEntry struct {
	hash    uint64
	end     int   // of the key in bytes; it begins where that of the entry before ends
	row     int32 // its row in the buffer, noRow if it has none
	deleted bool  // rows in the table must go
}

const (
	noRow        int32 = -1
	entryBytes         = 24
	firstKeySlot       = 1 << 10
)

func newKeyIndex() *keyIndex { return &keyIndex{seed: maphash.MakeSeed()} }

// hash is that of a key, the same for the life of the index.
func (x *keyIndex) hash(key []byte) uint64 { return maphash.Bytes(x.seed, key) }

// find returns the place of the entry of a key with that hash, a new one without a row if
// the key is new.
func (x *keyIndex) find(key []byte, h uint64) int32 {
	if 2*len(x.entries) >= len(x.slots) {
		x.grow()
	}
	at := x.slot(h)
	for ; x.slots[at] != 0; at = (at + 1) & (len(x.slots) - 1) {
		n := x.slots[at] - 1
		if x.entries[n].hash == h && string(x.key(n)) == string(key) {
			return n
		}
	}
	x.bytes = append(x.bytes, key...)
	x.entries = append(x.entries, keyEntry{hash: h, end: len(x.bytes), row: noRow})
	x.slots[at] = int32(len(x.entries))
	return x.slots[at] - 1
}

func (x *keyIndex) slot(h uint64) int { return int(h & uint64(len(x.slots)-1)) }

func (x *keyIndex) key(n int32) []byte {
	begin := 0
	if n > 0 {
		begin = x.entries[n-1].end
	}
	return x.bytes[begin:x.entries[n].end]
}

func (x *keyIndex) grow() {
	x.slots = make([]int32, max(firstKeySlot, 2*len(x.slots)))
	for n, e := range x.entries {
		at := x.slot(e.hash)
		for x.slots[at] != 0 {
			at = (at + 1) & (len(x.slots) - 1)
		}
		x.slots[at] = int32(n) + 1
	}
}

// held is the memory of the index.
func (x *keyIndex) held() int64 {
	return int64(cap(x.bytes) + entryBytes*cap(x.entries) + 4*cap(x.slots))
}

// reset forgets all keys and gives up the memory.
func (x *keyIndex) reset() { x.slots, x.entries, x.bytes = nil, nil, nil }
