package transforms

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/transforms/jsontree"
)

// A bsonType is the type of one field of a document, found from its value, or, for the
// elements of an array, from all of them.
type bsonType struct {
	kind   bsonKind
	fields []bsonField    // of a document; the scope of code
	index  map[string]int // of fields, once they are many
	elem   *bsonType      // of an array; nil while no element was seen
}

type bsonField struct {
	name string
	t    *bsonType
}

// find returns the position of a field, -1 if there is none; hint is where it may be.
func (t *bsonType) find(name string, hint int) int {
	if hint < len(t.fields) && t.fields[hint].name == name {
		return hint
	}
	if len(t.fields) <= 16 {
		for i := range t.fields {
			if t.fields[i].name == name {
				return i
			}
		}
		return -1
	}
	if t.index == nil {
		t.index = make(map[string]int, 2*len(t.fields))
	}
	for i := len(t.index); i < len(t.fields); i++ { // names are unique
		t.index[t.fields[i].name] = i
	}
	if i, ok := t.index[name]; ok {
		return i
	}
	return -1
}

// A bsonConverter makes Connect data of documents, one record at a time.
type bsonConverter struct {
	documents bool // arrays become documents with the fields _0, _1 …
	tree      jsontree.Tree
	arena     *connect.Arena
	types     []*bsonType // made for the record at hand, and kept for the next
	used      int
}

func (c *bsonConverter) reset(arena *connect.Arena) {
	c.tree.Reset(arena)
	c.arena, c.used = arena, 0
	if len(c.types) > schemaTypesKept {
		c.types = nil
	}
}

// schemaTypesKept is for how many types of a record memory is kept.
const schemaTypesKept = 1 << 12

func (c *bsonConverter) newType(kind bsonKind) *bsonType {
	if c.used == len(c.types) {
		c.types = append(c.types, new(bsonType))
	}
	t := c.types[c.used]
	c.used++
	*t = bsonType{kind: kind, fields: t.fields[:0]}
	return t
}

// A mixedError says that the elements of an array are of several types.
type mixedError struct {
	field, what string
	path        []string // the fields around it, the innermost first
}

func (e *mixedError) Error() string {
	schema := []string{"null"} // Java's text of the name that the outermost schema does not have
	for _, name := range slices.Backward(e.path) {
		schema = append(schema, name)
	}
	return fmt.Sprintf("Field %s of schema %s %s. Check option 'struct' of parameter 'array.encoding'", e.field, strings.Join(schema, "."), e.what)
}

// documentType is the type of a document with these members.
func (c *bsonConverter) documentType(members []*jsontree.Node) (*bsonType, error) {
	t := c.newType(bsonDocument)
	for _, m := range members {
		if err := c.addField(t, m.Key, m); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// addField adds a member to a document's type, or merges it with the field of that name.
func (c *bsonConverter) addField(t *bsonType, name string, n *jsontree.Node) error {
	ft, err := c.typeOf(name, n)
	if err != nil || ft == nil {
		return err
	}
	at := t.find(name, len(t.fields))
	if at < 0 {
		t.fields = append(t.fields, bsonField{name, ft})
		return nil
	}
	if t.fields[at].t, err = merge(t.fields[at].t, ft); err != nil {
		return sameType(name, err)
	}
	return nil
}

// typeOf is the type of the field name with value n, nil if it is to be left out.
func (c *bsonConverter) typeOf(name string, n *jsontree.Node) (*bsonType, error) {
	v, err := readBSON(c.arena, &c.tree, n)
	if err != nil || v.kind == bsonSkipped {
		return nil, err
	}
	t := c.newType(v.kind)
	switch v.kind {
	case bsonDocument, bsonCode:
		for m := c.tree.First(v.node); m != nil && err == nil; m = c.tree.Next(m) {
			err = c.addField(t, m.Key, m)
		}
		if mixed, ok := errors.AsType[*mixedError](err); ok {
			mixed.path = append(mixed.path, name)
		}
	case bsonArray:
		if c.documents {
			t.kind = bsonDocument
			for at, e := 0, c.tree.First(v.node); e != nil && err == nil; at, e = at+1, c.tree.Next(e) {
				err = c.addField(t, elementName(at), e)
			}
			break
		}
		err = c.elementType(t, name, v.node)
	case bsonSkipped, bsonNull, bsonText, bsonDouble, bsonBinary, bsonInt32, bsonInt64, bsonBool, bsonTime, bsonRegex:
	}
	return t, err
}

// elementName is the field of an array's element in document mode.
func elementName(at int) string { return "_" + strconv.Itoa(at) }

// elementType finds the one type of an array's elements.
func (c *bsonConverter) elementType(array *bsonType, name string, n *jsontree.Node) error {
	for e := c.tree.First(n); e != nil; e = c.tree.Next(e) {
		t, err := c.typeOf(name, e)
		if err != nil {
			return err
		}
		if t == nil {
			return &connect.DataError{Msg: fmt.Sprintf("The array %s holds %s, which has no type", name, c.tree.AppendJSON(nil, e))}
		}
		if array.elem, err = merge(array.elem, t); err != nil {
			return homogenous(name, err)
		}
	}
	return nil
}

// errMixed says that two types are not one; who knows the field's name says the rest.
var errMixed = errors.New("types differ")

func homogenous(name string, err error) error {
	if errors.Is(err, errMixed) {
		return &mixedError{field: name, what: "is not a homogenous array"}
	}
	return err
}

func sameType(name string, err error) error {
	if errors.Is(err, errMixed) {
		return &mixedError{field: name, what: "is not the same type for all documents in the array"}
	}
	return err
}

// merge is the type of values of both types: nulls go with all, integers widen, and
// documents have the fields of both.
func merge(a, b *bsonType) (*bsonType, error) {
	switch {
	case a == nil || a.kind == bsonNull:
		return b, nil
	case b == nil || b.kind == bsonNull:
		return a, nil
	case a.kind == bsonInt32 && b.kind == bsonInt64:
		return b, nil
	case a.kind == bsonInt64 && b.kind == bsonInt32:
		return a, nil
	case a.kind != b.kind:
		return nil, errMixed
	}
	var err error
	if a.kind == bsonArray {
		a.elem, err = merge(a.elem, b.elem)
		return a, err
	}
	for hint, f := range b.fields {
		at := a.find(f.name, hint)
		if at < 0 {
			a.fields = append(a.fields, f)
		} else if a.fields[at].t, err = merge(a.fields[at].t, f.t); err != nil {
			return nil, sameType(f.name, err)
		}
	}
	return a, nil
}

// structOf makes the struct of a document with these members.
func (c *bsonConverter) structOf(t *bsonType, members []*jsontree.Node) (connect.Value, error) {
	fields := c.arena.Values(len(t.fields))
	for i, m := range members {
		if err := c.setField(fields, t, i, m.Key, m); err != nil {
			return connect.Value{}, err
		}
	}
	return connect.StructValue(fields), nil
}

func (c *bsonConverter) setField(fields []connect.Value, t *bsonType, hint int, name string, n *jsontree.Node) (err error) {
	if at := t.find(name, hint); at >= 0 {
		fields[at], err = c.value(t.fields[at].t, n)
	}
	return err
}

// value makes the value of n under a type that was found from it.
func (c *bsonConverter) value(t *bsonType, n *jsontree.Node) (connect.Value, error) {
	v, err := readBSON(c.arena, &c.tree, n)
	if err != nil {
		return connect.Value{}, err
	}
	switch v.kind {
	case bsonRegex:
		return connect.StructValue(append(c.arena.Values(2)[:0], connect.StringValue(v.a), connect.StringValue(v.b))), nil
	case bsonDocument, bsonCode:
		fields := c.arena.Values(len(t.fields))
		hint := 0
		for m := c.tree.First(v.node); m != nil && err == nil; m = c.tree.Next(m) {
			err = c.setField(fields, t, hint, m.Key, m)
			hint++
		}
		if v.kind == bsonCode {
			return connect.StructValue(append(c.arena.Values(2)[:0], connect.StringValue(v.a), connect.StructValue(fields))), err
		}
		return connect.StructValue(fields), err
	case bsonArray:
		return c.elements(t, v.node)
	case bsonSkipped, bsonNull, bsonText, bsonDouble, bsonBinary, bsonInt32, bsonInt64, bsonBool, bsonTime:
	}
	return v.value, nil
}

func (c *bsonConverter) elements(t *bsonType, n *jsontree.Node) (_ connect.Value, err error) {
	at := 0
	if t.kind == bsonDocument {
		fields := c.arena.Values(len(t.fields))
		for e := c.tree.First(n); e != nil && err == nil; e = c.tree.Next(e) {
			err = c.setField(fields, t, at, elementName(at), e)
			at++
		}
		return connect.StructValue(fields), err
	}
	elems := c.arena.Values(n.Len)
	for e := c.tree.First(n); e != nil && err == nil; e = c.tree.Next(e) {
		elems[at], err = c.value(t.elem, e)
		at++
	}
	return connect.ArrayValue(elems), err
}

// appendForm describes a type in bytes, for forms.
func (t *bsonType) appendForm(dst []byte) []byte {
	dst = append(dst, byte(t.kind))
	switch t.kind {
	case bsonDocument, bsonCode:
		for _, f := range t.fields {
			dst = f.t.appendForm(appendName(append(dst, ':'), f.name))
		}
		dst = append(dst, '}')
	case bsonArray:
		if t.elem == nil {
			return append(dst, byte(bsonText))
		}
		return t.elem.appendForm(dst)
	case bsonSkipped, bsonNull, bsonText, bsonDouble, bsonBinary, bsonInt32, bsonInt64, bsonBool, bsonTime, bsonRegex:
	}
	return dst
}

// bsonSchema builds the schema of a form that is a document's. name is the schema's, ""
// for a before, an after or a key; inner structs are named after the fields that lead to
// them, from "null" on, as in Java.
func bsonSchema(form []byte, name string) (s *connect.Schema, rest []byte) {
	s = &connect.Schema{Type: connect.StructType, Optional: true, Name: name}
	if name == "" {
		name = "null"
	}
	for form = form[1:]; form[0] == ':'; {
		var f connect.Field
		f.Name, form = takeName(form[1:])
		f.Schema, form = bsonFieldSchema(form, name+"."+f.Name)
		s.Fields = append(s.Fields, f)
	}
	return s, form[1:]
}

func bsonFieldSchema(form []byte, name string) (s *connect.Schema, rest []byte) {
	kind, rest := bsonKind(form[0]), form[1:]
	switch kind {
	case bsonDouble:
		return &connect.Schema{Type: connect.Float64, Optional: true}, rest
	case bsonBinary:
		return &connect.Schema{Type: connect.BytesType, Optional: true}, rest
	case bsonInt32:
		return &connect.Schema{Type: connect.Int32, Optional: true}, rest
	case bsonInt64:
		return optionalLong, rest
	case bsonBool:
		return &connect.Schema{Type: connect.Boolean, Optional: true}, rest
	case bsonTime:
		return &connect.Schema{Type: connect.Int64, Optional: true, Name: connect.LogicalTimestamp, Version: 1}, rest
	case bsonRegex:
		return &connect.Schema{
			Type: connect.StructType, Optional: true, Name: "io.debezium.mongodb.regex",
			Fields: []connect.Field{{Name: "regex", Schema: optionalString}, {Name: "options", Schema: optionalString}},
		}, rest
	case bsonCode:
		scope, rest := bsonSchema(form, name+".scope")
		return &connect.Schema{
			Type: connect.StructType, Optional: true, Name: name,
			Fields: []connect.Field{{Name: "code", Schema: optionalString}, {Name: "scope", Schema: scope}},
		}, rest
	case bsonDocument:
		return bsonSchema(form, name)
	case bsonArray:
		elem, rest := bsonFieldSchema(rest, name)
		return &connect.Schema{Type: connect.ArrayType, Optional: true, Elem: elem}, rest
	case bsonSkipped, bsonNull, bsonText:
	}
	return optionalString, rest
}
