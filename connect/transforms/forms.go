package transforms

import "github.com/firn-io/firn/connect"

// Bounds of what a transform remembers of schemas that it found in data.
const (
	formsKept     = 256
	formBytesKept = 1 << 20
)

// forms are the schemas inferred from records so far, by a description in bytes of
// everything that the schema says: equal forms get the same schema. When there are too
// many, all are forgotten.
type forms struct {
	build func(form []byte) *connect.Schema
	known map[string]*connect.Schema
	bytes int
}

// schema returns the schema of a form; form may be overwritten afterwards.
func (f *forms) schema(form []byte) *connect.Schema {
	if s, ok := f.known[string(form)]; ok {
		return s
	}
	s := f.build(form)
	if f.known == nil || len(f.known) == formsKept || f.bytes+len(form) > formBytesKept {
		f.known, f.bytes = make(map[string]*connect.Schema), 0
	}
	if len(form) <= formBytesKept {
		f.known[string(form)] = s
		f.bytes += len(form)
	}
	return s
}
