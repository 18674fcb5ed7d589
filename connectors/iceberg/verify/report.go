package verify

import (
	"fmt"
	"strings"
)

// Fates count what became of the records that were read.
type Fates struct {
	Read       int64 `json:"read"`
	Rows       int64 `json:"rows"` // for this table; deletes of rows count
	Tombstones int64 `json:"tombstones"`
	Dropped    int64 `json:"dropped"`  // by a transformation
	Unrouted   int64 `json:"unrouted"` // to no table
	Elsewhere  int64 `json:"elsewhere"`
	Refused    int64 `json:"refused"` // by a converter, a transformation, the routing or a column
}

// A Report is the outcome of a run.
type Report struct {
	Method string  `json:"method"` // how rows were matched with records
	Ranges []Range `json:"ranges"`

	Files    int   `json:"files"`
	Rows     int64 `json:"rows"`     // in the table, those of deletes left out
	Expected int64 `json:"expected"` // rows that should be there
	Missing  int64 `json:"missing_offsets"`
	Records  Fates `json:"records"`

	// Differences: no one of them is in order.
	Lost       int64 `json:"lost"`        // records without a row
	Doubled    int64 `json:"doubled"`     // rows beyond the first of their record
	Extra      int64 `json:"extra"`       // rows that no record accounts for
	Wrong      int64 `json:"wrong"`       // rows with other values than their record's; at least so many
	FileFaults int64 `json:"file_faults"` // files that are listed twice, or hold another number of rows than listed

	Examples  []string `json:"examples"`
	Proved    []string `json:"proved"`
	Unchecked []string `json:"unchecked"` // what was not proved, and why
}

// Differences is how many there are.
func (r *Report) Differences() int64 {
	return r.Lost + r.Doubled + r.Extra + r.Wrong + r.FileFaults
}

// add counts a difference and keeps it as an example while there are few.
func (r *Report) add(count *int64, most int, format string, args ...any) {
	*count++
	r.example(most, format, args...)
}

func (r *Report) example(most int, format string, args ...any) {
	if len(r.Examples) < most {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

func (r *Report) prove(format string, args ...any) {
	r.Proved = append(r.Proved, fmt.Sprintf(format, args...))
}

func (r *Report) leave(format string, args ...any) {
	r.Unchecked = append(r.Unchecked, fmt.Sprintf(format, args...))
}

// Summary is the verdict in a line.
func (r *Report) Summary() string {
	if r.Differences() == 0 {
		return fmt.Sprintf("no difference: %d rows in %d files, %d expected", r.Rows, r.Files, r.Expected)
	}
	var parts []string
	for _, d := range []struct {
		n    int64
		what string
	}{
		{r.Lost, "lost"}, {r.Doubled, "doubled"}, {r.Extra, "that no record accounts for"}, {r.Wrong, "with wrong values"}, {r.FileFaults, "faults of files"},
	} {
		if d.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", d.n, d.what))
		}
	}
	return "differences: " + strings.Join(parts, ", ")
}
