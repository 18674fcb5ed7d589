package transforms

import "github.com/firn-io/firn/connect"

// A schemaCache remembers translated schemas by the address of what they came from,
// the most recently used first (Java: SynchronizedCache(LRUCache(16))).
type schemaCache struct {
	n       int
	entries [schemasKept]struct{ from, to *connect.Schema }
}

// get returns the translation of from, nil if it is not remembered.
func (c *schemaCache) get(from *connect.Schema) *connect.Schema {
	for i := range c.n {
		if e := c.entries[i]; e.from == from {
			if i > 0 {
				copy(c.entries[1:i+1], c.entries[:i])
				c.entries[0] = e
			}
			return e.to
		}
	}
	return nil
}

func (c *schemaCache) put(from, to *connect.Schema) {
	c.n = min(c.n+1, schemasKept)
	copy(c.entries[1:c.n], c.entries[:c.n-1])
	c.entries[0].from, c.entries[0].to = from, to
}

// javaClass names the Java class of a value, as it appears in error messages.
func javaClass(s *connect.Schema, v connect.Value) string {
	switch v.Kind() {
	case connect.Null:
		return "null"
	case connect.Bool:
		return "java.lang.Boolean"
	case connect.Int:
		return intClass(s)
	case connect.Float:
		if s != nil && s.Type == connect.Float32 {
			return "java.lang.Float"
		}
		return "java.lang.Double"
	case connect.String:
		return "java.lang.String"
	case connect.Bytes:
		if s != nil && s.Name == connect.LogicalDecimal {
			return "java.math.BigDecimal"
		}
		return "[B"
	case connect.Array:
		return "java.util.ArrayList"
	case connect.Map:
		return "java.util.HashMap"
	case connect.Struct:
		return "org.apache.kafka.connect.data.Struct"
	}
	panic("transforms: value of unknown kind " + v.Kind().String())
}

func intClass(s *connect.Schema) string {
	switch {
	case s == nil:
		return "java.lang.Long"
	case s.Name == connect.LogicalDate, s.Name == connect.LogicalTime, s.Name == connect.LogicalTimestamp:
		return "java.util.Date"
	case s.Type == connect.Int8:
		return "java.lang.Byte"
	case s.Type == connect.Int16:
		return "java.lang.Short"
	case s.Type == connect.Int32:
		return "java.lang.Integer"
	}
	return "java.lang.Long"
}
