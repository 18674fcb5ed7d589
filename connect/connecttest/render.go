// Package connecttest helps to test plugins: conformance suites that every
// implementation of an interface of package connect must pass, and Render to compare
// values. Only tests import it.
package connecttest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
)

// Render writes a value as text: equal texts mean equal values of equal kinds. The
// order of a map's entries counts.
func Render(v connect.Value) string {
	var b strings.Builder
	render(&b, v)
	return b.String()
}

func render(b *strings.Builder, v connect.Value) {
	switch v.Kind() {
	case connect.Null:
		b.WriteString("null")
	case connect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case connect.Int:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case connect.Float:
		b.WriteString("float " + strconv.FormatFloat(v.Float(), 'g', -1, 64))
	case connect.String:
		b.WriteString(strconv.Quote(v.Text()))
	case connect.Bytes:
		fmt.Fprintf(b, "x'%x'", v.Bytes())
	case connect.Array:
		list(b, "[", "]", v.Elems())
	case connect.Struct:
		list(b, "(", ")", v.Fields())
	case connect.Map:
		b.WriteByte('{')
		for i, part := range v.Pairs() {
			switch {
			case i%2 == 1:
				b.WriteByte(':')
			case i > 0:
				b.WriteByte(' ')
			}
			render(b, part)
		}
		b.WriteByte('}')
	}
}

func list(b *strings.Builder, open, closing string, parts []connect.Value) {
	b.WriteString(open)
	for i, part := range parts {
		if i > 0 {
			b.WriteByte(' ')
		}
		render(b, part)
	}
	b.WriteString(closing)
}
