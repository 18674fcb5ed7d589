package json

import (
	"bytes"
	"container/list"

	"github.com/firn-io/firn/connect"
)

// errEnvelope is Java's text word for word: people search for it.
var errEnvelope = &connect.DataError{Msg: `JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.`}

const maxCacheBytes = 64 << 20

// A compiled is a schema as it stood in an envelope, with its plan.
type compiled struct {
	raw  []byte // a copy; what the schema holds aliases it
	plan *plan
}

// A cache keeps the plans of the schemas used last, by their bytes. (Java caches by
// the parsed schema: two spellings of one schema share an entry there.)
type cache struct {
	size  int
	bytes int
	known map[string]*list.Element // of *compiled
	order list.List                // most recent first
}

func (c *cache) get(raw []byte) *compiled {
	e := c.known[string(raw)]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*compiled)
}

func (c *cache) put(n *compiled) {
	if c.known == nil {
		c.known = map[string]*list.Element{}
	}
	c.known[string(n.raw)] = c.order.PushFront(n)
	for c.bytes += len(n.raw); c.order.Len() > c.size || c.bytes > maxCacheBytes && c.order.Len() > 1; {
		old := c.order.Remove(c.order.Back()).(*compiled)
		delete(c.known, string(old.raw))
		c.bytes -= len(old.raw)
	}
}

// An envelope is what has been seen of {"schema":…,"payload":…}.
type envelope struct {
	hasSchema bool
	plan      *plan // nil: schemaless
	payload   int   // position of the payload, -1 until seen
	value     connect.Value
	done      bool // value was read with plan
}

func (c *Converter) envelope(p int) (*connect.Schema, connect.Value, error) {
	s := &c.scan
	if p >= len(s.b) {
		return nil, connect.Value{}, errEnvelope
	}
	if s.b[p] != '{' {
		if _, p = s.value(p); p < 0 {
			return nil, connect.Value{}, s.err
		}
		return nil, connect.Value{}, errEnvelope
	}
	e := envelope{payload: -1}
	if p = s.open(p); p < len(s.b) && s.b[p] == '}' {
		return nil, connect.Value{}, errEnvelope
	}
	for more := true; more; {
		if p, more = c.member(&e, p); p < 0 {
			return nil, connect.Value{}, s.err
		}
	}
	if !e.hasSchema || e.payload < 0 {
		return nil, connect.Value{}, errEnvelope
	}
	if !e.done {
		if e.value, p = c.payload(e.plan, e.payload); p < 0 {
			return nil, connect.Value{}, s.err
		}
	}
	if e.plan == nil {
		return nil, e.value, nil
	}
	return e.plan.schema, e.value, nil
}

// member reads one member of the envelope and what follows it.
func (c *Converter) member(e *envelope, p int) (next int, more bool) {
	s := &c.scan
	key, p := s.key(p)
	if p < 0 {
		return -1, false
	}
	switch key.Text() {
	case "schema":
		e.plan, p = c.schema(p)
		e.hasSchema, e.done = true, false
	case "payload":
		e.payload, e.done = p, e.hasSchema
		if e.done {
			e.value, p = c.payload(e.plan, p)
		} else {
			_, p = s.value(p)
		}
	default:
		s.err = errEnvelope
		return -1, false
	}
	if p < 0 {
		return -1, false
	}
	switch p = s.space(p); {
	case p < len(s.b) && s.b[p] == ',':
		return p + 1, true
	case p < len(s.b) && s.b[p] == '}':
		return p + 1, false
	}
	return s.unexpected(p, "a comma or the end of the envelope"), false
}

// payload reads the value at p.
func (c *Converter) payload(pl *plan, p int) (connect.Value, int) {
	if pl == nil {
		return c.scan.value(p)
	}
	return c.scan.typed(pl, p)
}

// schema finds the plan of the schema at p. Most often it is that of the last record,
// byte for byte; the end of an object tells itself, so a common prefix is enough.
func (c *Converter) schema(p int) (*plan, int) {
	s := &c.scan
	if front := c.schemas.order.Front(); front != nil {
		if last := front.Value.(*compiled); bytes.HasPrefix(s.b[p:], last.raw) {
			return last.plan, p + len(last.raw)
		}
	}
	v, end := s.value(p)
	if end < 0 || v.IsNull() {
		return nil, end
	}
	raw := s.b[p:end]
	if known := c.schemas.get(raw); known != nil {
		return known.plan, end
	}
	n := &compiled{raw: bytes.Clone(raw)}
	if v.Kind() != connect.Map {
		return nil, s.invalid("Schema must contain 'type' field")
	}
	r := &schemaReader{replaceNull: c.replaceNull}
	r.scan.reset(n.raw, &r.waste)
	pl, ok := r.read(0)
	if !ok {
		s.err = r.scan.err
		return nil, -1
	}
	n.plan = pl
	c.schemas.put(n)
	return n.plan, end
}
