package connect

// An Arena holds the values and bytes of one batch: made without an allocation
// each, dropped together by Reset. It is used by one goroutine at a time.
type Arena struct {
	vals  []Value
	bytes []byte
}

const (
	arenaValues = 4096     // Values in the first chunk: 96 KiB
	arenaBytes  = 16 << 10 // bytes in the first chunk
)

// Values returns room for n Values, all null. What was handed out before stays
// where it is: a full chunk is left behind, and the next one is larger.
func (a *Arena) Values(n int) []Value {
	at := len(a.vals)
	if at+n > cap(a.vals) {
		a.vals = make([]Value, 0, max(2*cap(a.vals), n, arenaValues))
		at = 0
	}
	a.vals = a.vals[:at+n]
	return a.vals[at : at+n : at+n]
}

// Bytes returns room for n bytes, of unspecified content.
func (a *Arena) Bytes(n int) []byte {
	at := len(a.bytes)
	if at+n > cap(a.bytes) {
		a.bytes = make([]byte, 0, max(2*cap(a.bytes), n, arenaBytes))
		at = 0
	}
	a.bytes = a.bytes[:at+n]
	return a.bytes[at : at+n : at+n]
}

// Reset drops everything handed out and keeps the largest chunks for the next batch.
func (a *Arena) Reset() {
	clear(a.vals)
	a.vals = a.vals[:0]
	a.bytes = a.bytes[:0]
}
