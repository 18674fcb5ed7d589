package datafile

// A hashSet holds hashes, 16 to 32 bytes for each.
type hashSet struct {
	slots []uint64 // 0: free; their number is a power of 2
	n     int
}

const firstHashSlots = 1 << 12

// nonZero makes 0, which stands for a free slot, another hash.
func nonZero(h uint64) uint64 { return max(h, 1) }

// add takes a hash in.
func (s *hashSet) add(h uint64) {
	if 2*s.n >= len(s.slots) {
		old := s.slots
		s.slots, s.n = make([]uint64, max(firstHashSlots, 2*len(old))), 0
		for _, o := range old {
			if o != 0 {
				s.add(o)
			}
		}
	}
	if at := s.slot(nonZero(h)); s.slots[at] == 0 {
		s.slots[at] = nonZero(h)
		s.n++
	}
}

// has tells whether h was added.
func (s *hashSet) has(h uint64) bool {
	return s.n > 0 && s.slots[s.slot(nonZero(h))] != 0
}

// slot is where h is, or would be.
func (s *hashSet) slot(h uint64) int {
	mask := len(s.slots) - 1
	at := int(h) & mask
	for s.slots[at] != 0 && s.slots[at] != h {
		at = (at + 1) & mask
	}
	return at
}

// held is the memory of the set.
func (s *hashSet) held() int64 { return int64(8 * cap(s.slots)) }
