package avro

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/firn-io/firn/connect"
)

// Names that Confluent's AvroData gives to things. They are data: other programs look
// for them.
const (
	namespace         = "io.confluent.connect.avro"
	unionName         = namespace + ".Union"
	enumParameter     = namespace + ".Enum"
	defaultRecordName = namespace + ".ConnectDefault"
	recordDoc         = namespace + ".record.doc"
	fieldDoc          = namespace + ".field.doc."
	enumDoc           = namespace + ".enum.doc."
	enumDefault       = namespace + ".enum.default."
	fieldDefault      = namespace + ".field.default"
	fixedSize         = "connect.fixed.size"
	decimalPrecision  = "connect.decimal.precision"

	generalUnion      = "org.apache.kafka.connect.data.Union"
	generalEnum       = "org.apache.kafka.connect.data.Enum"
	generalUnionName  = "connect_union_"
	generalUnionField = "connect_union_field_"

	propType       = "connect.type"
	propDoc        = "connect.doc"
	propVersion    = "connect.version"
	propParameters = "connect.parameters"
	propName       = "connect.name"
)

// maxSchemas bounds the parts of a schema. Types used by name count once for each use,
// and thirty types that use each other twice make a billion.
const maxSchemas = 100_000

var errSchemas = errors.New("the schema has more than 100000 parts")

// settings are those that change what a schema becomes.
type settings struct {
	metaData    bool // connect.meta.data
	enhanced    bool // enhanced.avro.schema.support
	flatten     bool // flatten.singleton.unions
	general     bool // generalized.sum.type.support
	discardDocs bool // discard.type.doc.default
}

// A translator makes the Connect schema of an Avro schema. (Source: Confluent's
// AvroData.toConnectSchema, down to the parameters.)
type translator struct {
	settings
	open   map[string]*cycle // records by name
	total  int
	unions int
}

// A cycle is a record that is being translated, or that turned out to contain itself.
type cycle struct {
	schema   *connect.Schema
	used     []*connect.Schema // stand for the record inside itself, until it is done
	done     bool
	detected bool
}

// A use is how a schema is used by what contains it.
type use struct {
	optional bool
	def      *string // default as JSON, of a field
	doc      string  // of a field
}

// translate makes the schema of a. Inside a record, within names types that may be on
// their way.
func (t *translator) translate(a avro.Schema, u use) (*connect.Schema, error) {
	if t.total++; t.total > maxSchemas {
		return nil, errSchemas
	}
	a = deref(a)
	if union, ok := a.(*avro.UnionSchema); ok {
		if only := t.transparent(union); only != nil {
			return t.within(only, use{optional: u.optional || len(union.Types()) == 2, doc: u.doc})
		}
	}
	s := &connect.Schema{}
	var c *cycle
	if r, ok := a.(*avro.RecordSchema); ok {
		if c = t.open[r.FullName()]; c != nil && !c.done {
			return c.inside(u.optional), nil
		}
		c = &cycle{schema: s}
		t.open[r.FullName()] = c
	}
	if err := t.shape(s, a); err != nil {
		return nil, err
	}
	if err := t.attributes(s, a, u); err != nil {
		return nil, err
	}
	if c != nil {
		c.finish()
		if !c.detected {
			delete(t.open, a.(*avro.RecordSchema).FullName())
		}
	}
	return s, nil
}

// within translates a schema that may be one on its way, or known to contain itself.
func (t *translator) within(a avro.Schema, u use) (*connect.Schema, error) {
	if r, ok := deref(a).(*avro.RecordSchema); ok {
		if c := t.open[r.FullName()]; c != nil {
			return c.inside(u.optional), nil
		}
	}
	return t.translate(a, u)
}

// inside is the record as a part of itself. It shares all but being optional.
func (c *cycle) inside(optional bool) *connect.Schema {
	c.detected = true
	s := &connect.Schema{Optional: optional}
	if c.done {
		*s = *c.schema
		s.Optional = optional
	} else {
		c.used = append(c.used, s)
	}
	return s
}

func (c *cycle) finish() {
	for _, s := range c.used {
		optional := s.Optional
		*s = *c.schema
		s.Optional = optional
	}
	c.used, c.done = nil, true
}

// transparent is the member of a union that is no struct: X of [null, X] and [X].
func (t *translator) transparent(u *avro.UnionSchema) avro.Schema {
	switch types := u.Types(); {
	case len(types) == 1 && t.flatten:
		return types[0]
	case len(types) == 2 && u.Nullable():
		_, other := u.Indices()
		return types[other]
	}
	return nil
}

// shape sets the type and the parts.
func (t *translator) shape(s *connect.Schema, a avro.Schema) (err error) {
	switch a := a.(type) {
	case *avro.PrimitiveSchema:
		unnamed(s, a)
		return primitive(s, a)
	case *avro.FixedSchema:
		unnamed(s, a)
		bytesOrDecimal(s, a)
		parameter(s, fixedSize, strconv.Itoa(a.Size()))
	case *avro.EnumSchema:
		t.enum(s, a)
	case *avro.ArraySchema:
		return t.array(s, a)
	case *avro.MapSchema:
		s.Type, s.Key = connect.MapType, &connect.Schema{Type: connect.StringType}
		s.Elem, err = t.within(a.Values(), use{})
	case *avro.RecordSchema:
		return t.record(s, a)
	case *avro.UnionSchema:
		return t.union(s, a)
	case *avro.NullSchema:
		return errors.New("Standalone null schemas are not supported by this converter") //nolint:staticcheck // Java's words
	default:
		return fmt.Errorf("unsupported Avro type %s", a.Type())
	}
	return err
}

// primitives are the types without further properties.
var primitives = map[avro.Type]connect.Type{
	avro.Boolean: connect.Boolean, avro.Int: connect.Int32, avro.Long: connect.Int64, avro.Float: connect.Float32,
	avro.Double: connect.Float64, avro.String: connect.StringType, avro.Bytes: connect.BytesType,
}

func primitive(s *connect.Schema, a *avro.PrimitiveSchema) error {
	logical, kind := logicalType(a), a.Type()
	is := func(name string) bool { return strings.EqualFold(logical, name) }
	s.Type = primitives[kind]
	switch annotated, given := a.Prop(propType).(string); {
	case kind == avro.Bytes:
		bytesOrDecimal(s, a)
	case kind == avro.Long && is("timestamp-millis"):
		s.Name, s.Version = connect.LogicalTimestamp, 1
	case kind != avro.Int:
	case is("date"):
		s.Name, s.Version = connect.LogicalDate, 1
	case is("time-millis"):
		s.Name, s.Version = connect.LogicalTime, 1
	case logical == "" && annotated == "int8":
		s.Type = connect.Int8
	case logical == "" && annotated == "int16":
		s.Type = connect.Int16
	case logical == "" && given:
		return errors.New("Connect type annotation for Avro int field is null") //nolint:staticcheck // Java's words
	}
	return nil
}

// unnamed passes on the logical types that Connect has no name for. Java drops them; a sink
// that knows what a number means needs them.
func unnamed(s *connect.Schema, a avro.PropertySchema) {
	switch name := strings.ToLower(logicalType(a)); name {
	case "time-micros", "timestamp-micros", "timestamp-nanos", "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos", "uuid":
		parameter(s, connect.ParameterAvroLogicalType, name)
	}
}

// bytesOrDecimal looks at the properties, not at what the parser made of them: Java
// takes a decimal whose precision the Avro specification forbids.
func bytesOrDecimal(s *connect.Schema, a avro.PropertySchema) {
	s.Type = connect.BytesType
	if !strings.EqualFold(logicalType(a), "decimal") {
		return
	}
	scale, _ := a.Prop("scale").(float64)
	precision, given := a.Prop("precision").(float64)
	if l, ok := a.(avro.LogicalTypeSchema); ok {
		if d, ok := l.Logical().(*avro.DecimalLogicalSchema); ok {
			scale, precision, given = float64(d.Scale()), float64(d.Precision()), true
		}
	}
	s.Name, s.Version = connect.LogicalDecimal, 1
	parameter(s, "scale", strconv.Itoa(int(scale)))
	if given && precision != 64 {
		parameter(s, decimalPrecision, strconv.Itoa(int(precision)))
	}
}

// logicalType is the property as it stands, whether or not the type knows it.
func logicalType(a avro.PropertySchema) string {
	if l, ok := a.(avro.LogicalTypeSchema); ok && l.Logical() != nil {
		return string(l.Logical().Type())
	}
	name, _ := a.Prop("logicalType").(string)
	return name
}

func (t *translator) enum(s *connect.Schema, a *avro.EnumSchema) {
	s.Type = connect.StringType
	if t.metaData && a.Doc() != "" {
		name := enumDoc + a.Name()
		if t.discardDocs {
			name = "connect.enum.doc"
		}
		parameter(s, name, a.Doc())
	}
	if t.metaData && a.HasDefault() && !t.discardDocs {
		parameter(s, enumDefault+a.Name(), a.Default())
	}
	name := enumParameter
	if t.general {
		name = generalEnum
	}
	parameter(s, name, fullName(a))
	for i, symbol := range a.Symbols() {
		v := symbol
		if t.general {
			v = strconv.Itoa(i)
		}
		parameter(s, name+"."+symbol, v)
	}
}

func (t *translator) array(s *connect.Schema, a *avro.ArraySchema) (err error) {
	entry := mapEntry(a.Items())
	if entry == nil {
		s.Type = connect.ArrayType
		s.Elem, err = t.within(a.Items(), use{})
		return err
	}
	s.Type = connect.MapType
	if s.Key, err = t.within(field(entry, "key").Type(), use{}); err != nil {
		return err
	}
	s.Elem, err = t.within(field(entry, "value").Type(), use{})
	return err
}

func (t *translator) record(s *connect.Schema, a *avro.RecordSchema) error {
	s.Type = connect.StructType
	docs := t.metaData && !t.discardDocs
	if docs && a.Doc() != "" {
		parameter(s, recordDoc, a.Doc())
	}
	for _, f := range a.Fields() {
		if docs && f.Doc() != "" {
			parameter(s, fieldDoc+f.Name(), f.Doc())
		}
		u := use{doc: f.Doc()}
		if text, ok := f.Prop(propDefault).(string); ok {
			u.def = &text
		}
		part, err := t.translate(f.Type(), u)
		if err != nil {
			return fmt.Errorf("field %s: %w", f.Name(), err)
		}
		s.Fields = append(s.Fields, connect.Field{Name: f.Name(), Schema: part})
	}
	return nil
}

func (t *translator) union(s *connect.Schema, a *avro.UnionSchema) error {
	s.Type, s.Name = connect.StructType, unionName
	if t.general {
		s.Name = generalUnionName + strconv.Itoa(t.unions)
		parameter(s, generalUnion, s.Name)
		t.unions++
	}
	for i, member := range a.Types() {
		if member.Type() == avro.Null {
			s.Optional = true
			continue
		}
		name := t.member(member, i)
		if s.FieldIndex(name) >= 0 {
			return errors.New("Multiple union schemas map to the Connect union field name") //nolint:staticcheck // Java's words
		}
		part, err := t.within(member, use{optional: true})
		if err != nil {
			return err
		}
		s.Fields = append(s.Fields, connect.Field{Name: name, Schema: part})
	}
	return nil
}

// member names the field of a union's branch.
func (t *translator) member(a avro.Schema, i int) string {
	named, ok := deref(a).(avro.NamedSchema)
	switch {
	case t.general:
		return generalUnionField + strconv.Itoa(i)
	case ok && t.enhanced:
		return fullName(named)
	case ok:
		return named.Name()
	}
	return string(deref(a).Type())
}

// attributes sets what any schema may have.
func (t *translator) attributes(s *connect.Schema, a avro.Schema, u use) error {
	props, _ := a.(avro.PropertySchema)
	t.doc(s, a, props, u)
	if err := t.properties(s, props); err != nil {
		return err
	}
	t.defaults(s, a, props, u)
	if err := t.name(s, a, props); err != nil {
		return err
	}
	s.Optional = s.Optional || u.optional
	return nil
}

func prop(p avro.PropertySchema, name string) any {
	if p == nil {
		return nil
	}
	return p.Prop(name)
}

func (t *translator) doc(s *connect.Schema, a avro.Schema, props avro.PropertySchema, u use) {
	annotated, _ := prop(props, propDoc).(string)
	if !t.discardDocs {
		if t.metaData {
			s.Doc = annotated
		}
		return
	}
	own := ""
	if d, ok := a.(interface{ Doc() string }); ok {
		own = d.Doc()
	}
	switch {
	case u.doc != "":
		s.Doc = u.doc
	case own != "":
		s.Doc = own
	default:
		s.Doc = annotated
	}
	if t.metaData && own != "" {
		parameter(s, "connect.record.doc", own)
	}
}

// properties reads connect.version, connect.parameters and whatever begins with avro.
func (t *translator) properties(s *connect.Schema, props avro.PropertySchema) error {
	if props == nil {
		return nil
	}
	if v := props.Prop(propVersion); v != nil {
		version, ok := v.(float64)
		switch {
		case !ok || version != math.Trunc(version) || math.Abs(version) > math.MaxInt32:
			return fmt.Errorf("Invalid Connect version found: %v", v) //nolint:staticcheck // Java's words
		case version >= 0 && s.Version != 0 && int(version) != s.Version:
			return fmt.Errorf("Mismatched versions: version already added to SchemaBuilder (%d) differs from version in source schema (%d)", s.Version, int(version)) //nolint:staticcheck // Java's words
		case version >= 0:
			s.Version = int(version)
		}
	}
	if v := props.Prop(propParameters); v != nil && t.metaData {
		m, ok := v.(map[string]any)
		if !ok {
			return errors.New("Expected JSON object for schema parameters") //nolint:staticcheck // Java's words
		}
		for name, value := range m {
			text, ok := value.(string)
			if !ok {
				return fmt.Errorf("Expected schema parameter values to be strings but found: %v", value) //nolint:staticcheck // Java's words
			}
			parameter(s, name, text)
		}
	}
	if with, ok := props.(interface{ Props() map[string]any }); ok {
		for name, value := range with.Props() {
			if strings.HasPrefix(name, "avro") {
				parameter(s, name, asText(value))
			}
		}
	}
	return nil
}

func asText(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// defaults reads the default of the field, else connect.default. As in Java, one that
// does not fit counts as none.
func (t *translator) defaults(s *connect.Schema, a avro.Schema, props avro.PropertySchema, u use) {
	annotated, given := prop(props, propConnectDefault).(string)
	if u.def != nil {
		v, ok := defaultOf(s, a, *u.def)
		if ok && t.metaData && !t.discardDocs && !given {
			parameter(s, fieldDefault, "true")
		}
		s.Default = v
		return
	}
	if given {
		s.Default, _ = defaultOf(s, a, annotated)
	}
}

// name sets the name. (A fixed with a decimal keeps the name of Decimal; Java fails on
// it.)
func (t *translator) name(s *connect.Schema, a avro.Schema, props avro.PropertySchema) error {
	name := ""
	if named, ok := a.(avro.NamedSchema); ok {
		name = fullName(named)
	}
	if v := prop(props, propName); v != nil {
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("Invalid schema name: %v", v) //nolint:staticcheck // Java's words
		}
		name = text
	} else if s.Name == connect.LogicalDecimal {
		return nil
	}
	switch {
	case name == "" || strings.HasPrefix(name, defaultRecordName):
	case s.Name == "":
		s.Name = name
	case s.Name != name:
		return fmt.Errorf("Mismatched names: name already added to SchemaBuilder (%s) differs from name in source schema (%s)", s.Name, name) //nolint:staticcheck // Java's words
	}
	return nil
}

func parameter(s *connect.Schema, name, value string) {
	if s.Parameters == nil {
		s.Parameters = map[string]string{}
	}
	s.Parameters[name] = value
}
