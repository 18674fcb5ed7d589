package catalog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
)

// SplitPartitionBy cuts the text of partition-by at the commas outside
// parentheses and trims the items; empty text has none.
func SplitPartitionBy(text string) []string {
	var items []string
	depth, from := 0, 0
	take := func(to int) {
		if item := strings.TrimSpace(text[from:to]); item != "" {
			items = append(items, item)
		}
		from = to + 1
	}
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth = max(depth-1, 0)
		case ',':
			if depth == 0 {
				take(i)
			}
		}
	}
	take(len(text))
	return items
}

// PartitionSpec compiles the items of partition-by for a schema. An item is
//
//	NAME | year(NAME) | month(NAME) | day(NAME) | hour(NAME) | bucket(NAME, N) | truncate(NAME, N)
//
// where years, months, days and hours will do as well. Keywords are lower case,
// nested columns have dotted names, and fields get Iceberg's default names. (Source:
// SchemaUtils.createPartitionSpec of the Java sink; other than Java, which logs bad
// text and creates the table unpartitioned, this is an error.)
func PartitionSpec(schema *iceberg.Schema, partitionBy []string) (*iceberg.PartitionSpec, error) {
	if len(partitionBy) == 0 {
		return iceberg.UnpartitionedSpec, nil
	}
	fields := make([]iceberg.PartitionField, 0, len(partitionBy))
	for i, text := range partitionBy {
		item, err := parseItem(text)
		if err != nil {
			return nil, fmt.Errorf("partition-by %q: %w", text, err)
		}
		field, err := item.field(schema, fields)
		if err != nil {
			return nil, fmt.Errorf("partition-by %q: %w", text, err)
		}
		field.FieldID = firstFieldID + i
		fields = append(fields, field)
	}
	spec := iceberg.NewPartitionSpec(fields...)
	return &spec, nil
}

// CheckPartitionBy looks at items before there is a schema: it finds all faults but
// those of columns.
func CheckPartitionBy(partitionBy []string) error {
	for _, text := range partitionBy {
		if _, err := parseItem(text); err != nil {
			return fmt.Errorf("partition-by %q: %w", text, err)
		}
	}
	return nil
}

// firstFieldID is where partition field ids start. (Source: Iceberg spec, "Partition Evolution".)
const firstFieldID = 1000

// An item is one parsed element of partition-by.
type item struct {
	column    string
	transform iceberg.Transform
	suffix    string // of the default field name
}

// parseItem reads one item.
func parseItem(text string) (item, error) {
	keyword, args, ok := strings.Cut(text, "(")
	if !ok {
		return item{column: text, transform: iceberg.IdentityTransform{}}, nil
	}
	args, ok = strings.CutSuffix(args, ")")
	if !ok {
		return item{}, errors.New("no closing parenthesis at the end")
	}
	switch keyword {
	case "year", "years":
		return item{args, iceberg.YearTransform{}, "_year"}, nil
	case "month", "months":
		return item{args, iceberg.MonthTransform{}, "_month"}, nil
	case "day", "days":
		return item{args, iceberg.DayTransform{}, "_day"}, nil
	case "hour", "hours":
		return item{args, iceberg.HourTransform{}, "_hour"}, nil
	case "bucket":
		column, n, err := columnAndNumber(args)
		return item{column, iceberg.BucketTransform{NumBuckets: n}, "_bucket"}, err
	case "truncate":
		column, n, err := columnAndNumber(args)
		return item{column, iceberg.TruncateTransform{Width: n}, "_trunc"}, err
	}
	return item{}, fmt.Errorf("no transform %q; there are year, month, day, hour, bucket, truncate, and NAME alone for identity", keyword)
}

// columnAndNumber reads "NAME, N".
func columnAndNumber(args string) (string, int, error) {
	column, number, ok := strings.Cut(args, ",")
	if !ok || strings.Contains(number, ",") {
		return "", 0, errors.New("want two arguments: the column, then the number")
	}
	number = strings.TrimSpace(number)
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return "", 0, fmt.Errorf("%q is no positive number: the column comes first, then the number", number)
	}
	return strings.TrimSpace(column), int(n), nil
}

// field binds the item to the schema, beside the fields that are there already.
func (it item) field(schema *iceberg.Schema, before []iceberg.PartitionField) (iceberg.PartitionField, error) {
	source, ok := schema.FindFieldByName(it.column)
	if !ok {
		return iceberg.PartitionField{}, fmt.Errorf("no column %q in the table's schema", it.column)
	}
	if _, ok := source.Type.(iceberg.PrimitiveType); !ok || !it.transform.CanTransform(source.Type) {
		return iceberg.PartitionField{}, fmt.Errorf("column %q of type %s cannot be partitioned by %s", it.column, source.Type, it.transform)
	}
	name := it.column + it.suffix
	if taken, ok := schema.FindFieldByName(name); ok && (it.suffix != "" || taken.ID != source.ID) {
		return iceberg.PartitionField{}, fmt.Errorf("partition field %q would have the name of a column", name)
	}
	for _, f := range before {
		if f.Name == name || f.SourceID() == source.ID && sameKind(f.Transform, it.transform) {
			return iceberg.PartitionField{}, fmt.Errorf("repeats what partition field %q does", f.Name)
		}
	}
	return iceberg.PartitionField{SourceIDs: []int{source.ID}, Name: name, Transform: it.transform}, nil
}

// sameKind tells whether two transforms of one column are redundant: all of time
// are to each other. (Source: PartitionSpec.Builder.checkForRedundantPartitions.)
func sameKind(a, b iceberg.Transform) bool {
	_, aTime := a.(iceberg.TimeTransform)
	_, bTime := b.(iceberg.TimeTransform)
	return aTime && bTime || a.Equals(b)
}
