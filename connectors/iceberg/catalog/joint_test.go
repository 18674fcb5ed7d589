package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// A trio is three tables of one catalog, and tries to commit a row to each.
type trio struct {
	t     *testing.T
	back  *icetest.Catalog // what is true of the tables
	joint *catalog.Joint
	log   strings.Builder
}

var trioTables = []table.Identifier{{"db", "a"}, {"db", "b"}, {"db", "c"}}

func newTrio(t *testing.T, cat catalog.Catalog, multi catalog.MultiTable, back *icetest.Catalog) *trio {
	t.Helper()
	s := &trio{t: t, back: back}
	s.joint = catalog.NewJoint(cat, multi, slog.New(slog.NewTextHandler(&s.log, nil)))
	if err := back.CreateNamespace(t.Context(), table.Identifier{"db"}, nil); err != nil {
		t.Fatal(err)
	}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	for _, ident := range trioTables {
		if _, err := cat.CreateTable(t.Context(), ident, schema); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A try is what one participant does.
type try struct {
	late    time.Duration // before it commits
	nothing bool          // it has nothing to commit
	meddle  bool          // another engine commits first
}

// play has the tables tried side by side, and returns what became of each.
func (s *trio) play(ctx context.Context, tries ...try) []error {
	errs := make([]error, len(tries))
	var wg sync.WaitGroup
	hold := s.joint.Join() // until all have joined
	for i, try := range tries {
		p := s.joint.Join()
		wg.Go(func() {
			defer p.Leave()
			errs[i] = s.try(ctx, p, trioTables[i], try)
		})
	}
	hold.Leave()
	wg.Wait()
	return errs
}

func (s *trio) try(ctx context.Context, p *catalog.Participant, ident table.Identifier, try try) error {
	tbl, err := p.LoadTable(ctx, ident)
	if err != nil || try.nothing {
		return err
	}
	file, err := icetest.WriteFile(ctx, tbl, icetest.Row{"n": 1})
	if err != nil {
		return err
	}
	tx := tbl.NewTransaction()
	if err := errors.Join(tx.AssertRefSnapshotID(table.MainBranch), tx.NewRowDelta(nil).AddRows(file).Commit(ctx)); err != nil {
		return err
	}
	if try.meddle {
		if _, err := s.back.ForeignAppend(ctx, ident, table.MainBranch); err != nil {
			return err
		}
	}
	time.Sleep(try.late)
	after, err := tx.Commit(ctx)
	if err != nil {
		return err
	}
	now, err := s.back.Peek(ident)
	if err != nil {
		return err
	}
	if got, want := after.CurrentSnapshot(), now.CurrentSnapshot(); want == nil || got == nil || got.SnapshotID != want.SnapshotID {
		return fmt.Errorf("the commit returned the head %v, the table has %v", got, want)
	}
	return nil
}

// rows is how many each table has.
func (s *trio) rows() (out [3]int) {
	s.t.Helper()
	for i, ident := range trioTables {
		tbl, err := s.back.Peek(ident)
		if err != nil {
			s.t.Fatal(err)
		}
		rows, err := icetest.ReadRows(s.t.Context(), tbl)
		if err != nil {
			s.t.Fatal(err)
		}
		out[i] = len(rows)
	}
	return out
}

func TestJoint(t *testing.T) {
	lost := errors.New("lost")
	soon := try{late: time.Second / 2}
	tests := []struct {
		name  string
		fault icetest.Fault
		tries []try
		errs  [3]error
		rows  [3]int
		many  int           // requests of several tables
		one   int           // of one
		took  time.Duration // -1: what the library waits between its tries
	}{
		{"all", icetest.Fault{}, []try{{}, soon, {}}, [3]error{}, [3]int{1, 1, 1}, 1, 0, time.Second / 2},
		{"one comes too late", icetest.Fault{}, []try{{}, {late: 5 * time.Second}, soon}, [3]error{}, [3]int{1, 1, 1}, 1, 1, 5 * time.Second},
		{"one has nothing", icetest.Fault{}, []try{{}, {nothing: true}, {}}, [3]error{}, [3]int{1, 0, 1}, 1, 0, 0},
		{"one is left", icetest.Fault{}, []try{{}, {nothing: true}, {nothing: true}}, [3]error{}, [3]int{1, 0, 0}, 0, 1, 0},
		{"one is refused", icetest.Fault{}, []try{soon, {meddle: true}, {}}, [3]error{1: table.ErrCommitFailed}, [3]int{1, 0, 1}, 1, 3, -1},
		{"not taken", icetest.Fault{Before: catalog.ErrNotTaken}, []try{{}, {}, {}}, [3]error{}, [3]int{1, 1, 1}, 1, 3, 0},
		{"request lost", icetest.Fault{Before: lost}, []try{{}, {}, {}}, [3]error{lost, lost, lost}, [3]int{}, 1, 0, 0},
		{"reply lost", icetest.Fault{After: lost}, []try{{}, {}, {}}, [3]error{lost, lost, lost}, [3]int{1, 1, 1}, 1, 0, 0},
		{"reply lost, and called a refusal", icetest.Fault{After: table.ErrCommitFailed}, []try{{}, {}, {}}, [3]error{table.ErrCommitFailed, table.ErrCommitFailed, table.ErrCommitFailed}, [3]int{1, 1, 1}, 1, 3, -1},
		{
			"lands after its time",
			icetest.Fault{DelayBefore: 2 * time.Minute, Detached: true},
			[]try{{}, {}, {}},
			[3]error{context.DeadlineExceeded, context.DeadlineExceeded, context.DeadlineExceeded},
			[3]int{1, 1, 1},
			1, 0, time.Minute,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				back := icetest.New(icetest.NewFiles())
				s := newTrio(t, back, back, back)
				back.Inject(icetest.CommitMany, tt.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				errs := s.play(ctx, tt.tries...)
				took := time.Since(began)
				time.Sleep(time.Hour)
				for i, err := range errs {
					if !errors.Is(err, tt.errs[i]) || err != nil && tt.errs[i] == nil {
						t.Errorf("table %d: %v, want %v", i, err, tt.errs[i])
					}
				}
				if got := s.rows(); got != tt.rows {
					t.Errorf("rows %v, want %v", got, tt.rows)
				}
				if many, one := back.Calls(icetest.CommitMany), back.Calls(icetest.Commit); many != tt.many || one != tt.one {
					t.Errorf("%d requests of several tables and %d of one, want %d and %d", many, one, tt.many, tt.one)
				}
				if took != tt.took && tt.took >= 0 {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// Only the first commit of a participant waits for others; those who come when the group
// has gone make a new one.
func TestJointGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := icetest.New(icetest.NewFiles())
		s := newTrio(t, back, back, back)
		slow := s.joint.Join() // the first two wait for it
		for range 3 {
			if errs := s.play(t.Context(), try{}, try{}); errors.Join(errs...) != nil {
				t.Error(errs)
			}
		}
		p := s.joint.Join()
		never := s.joint.Join()
		for _, want := range []time.Duration{3 * time.Second, 0} {
			began := time.Now()
			if err := s.try(t.Context(), p, trioTables[2], try{}); err != nil || time.Since(began) != want {
				t.Errorf("%v after %v, want %v", err, time.Since(began), want)
			}
		}
		p.Leave()
		never.Leave()
		slow.Leave()
		if got := s.rows(); got != [3]int{3, 3, 2} || back.Calls(icetest.CommitMany) != 3 {
			t.Errorf("rows %v in %d requests, want 3, 3, 2 in 3", got, back.Calls(icetest.CommitMany))
		}
	})
}

// A catalog that does not take what it offers is asked three times and no more.
func TestJointGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := icetest.New(icetest.NewFiles())
		s := newTrio(t, back, back, back)
		refused := icetest.Fault{Before: catalog.ErrNotTaken}
		back.Inject(icetest.CommitMany, refused, refused, icetest.Fault{}, refused, refused, refused)
		for range 9 {
			if errs := s.play(t.Context(), try{}, try{}, try{}); errors.Join(errs...) != nil {
				t.Error(errs)
			}
		}
		if got, n := s.rows(), back.Calls(icetest.CommitMany); got != [3]int{9, 9, 9} || n != 6 {
			t.Errorf("rows %v after %d requests of several tables, want 9 of each after 6", got, n)
		}
		if n := strings.Count(s.log.String(), "does not; each is committed alone from now on"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, s.log.String())
		}
	})
}

// What a server answers, and what that says of the tables.
func TestMultiTableAnswers(t *testing.T) {
	const conflict, notTaken, unknown = "conflict", "not taken", "unknown"
	for _, tt := range []struct {
		status int // 0: the connection is cut
		body   string
		want   string
	}{
		{204, "", ""},
		{200, "{}", ""},
		{409, `{"error":{"message":"m","type":"CommitFailedException","code":409}}`, conflict},
		{409, "<html>", conflict},
		{404, `{"error":{"message":"m","type":"NoSuchTableException","code":404}}`, notTaken},
		{404, "<html>", notTaken},
		{400, "", notTaken},
		{403, "", notTaken},
		{405, "", notTaken},
		{501, "", notTaken},
		{501, "<html>", notTaken},
		{401, "", unknown},
		{408, "", unknown},
		{429, "", unknown},
		{499, "", unknown},
		{500, "", unknown},
		{502, "<html>", unknown},
		{503, "", unknown},
		{504, "", unknown},
		{507, "", unknown},
		{0, "", unknown},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/config" {
				_, _ = io.WriteString(w, `{"defaults":{},"overrides":{},"endpoints":["POST /v1/{prefix}/transactions/commit"]}`)
				return
			}
			if tt.status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		}))
		cat, err := catalog.Open(t.Context(), "iceberg", map[string]string{"type": "rest", "uri": srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		multi, ok := catalog.AsMultiTable(cat)
		if !ok {
			t.Fatal("not offered")
		}
		err = multi.CommitTransaction(t.Context(), []table.TableCommit{{Identifier: trioTables[0]}, {Identifier: trioTables[1]}})
		got := unknown
		switch {
		case err == nil:
			got = ""
		case errors.Is(err, table.ErrCommitFailed):
			got = conflict
		case errors.Is(err, catalog.ErrNotTaken):
			got = notTaken
		}
		if got != tt.want {
			t.Errorf("status %d %q: %q (%v), want %q", tt.status, tt.body, got, err, tt.want)
		}
		if err := cat.Close(); err != nil {
			t.Error(err)
		}
		srv.Close()
	}
}

// The same by HTTP.
func TestJointREST(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault icetest.Fault
		fails bool
		rows  int
		one   int
	}{
		{"taken", icetest.Fault{}, false, 1, 0},
		{"conflict", icetest.Fault{Before: table.ErrCommitFailed}, false, 1, 3},
		{"not there", icetest.Fault{Before: &icetest.StatusError{Status: http.StatusNotFound}}, false, 1, 3},
		{"unavailable after it was applied", icetest.Fault{After: &icetest.StatusError{Status: http.StatusServiceUnavailable}}, true, 1, 0},
		{"cut after it was applied", icetest.Fault{After: &icetest.StatusError{}}, true, 1, 0},
	} {
		back := icetest.New(icetest.NewFiles())
		back.OfferMultiTable()
		srv := httptest.NewServer(back.Handler("file://" + t.TempDir()))
		cat, err := catalog.Open(t.Context(), "iceberg", map[string]string{"type": "rest", "uri": srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		multi, ok := catalog.AsMultiTable(cat)
		if !ok {
			t.Fatal("not offered")
		}
		s := newTrio(t, cat, multi, back)
		back.Inject(icetest.CommitMany, tt.fault)
		for i, err := range s.play(t.Context(), try{}, try{}, try{}) {
			if (err != nil) != tt.fails || errors.Is(err, table.ErrCommitFailed) {
				t.Errorf("%s: table %d: %v, want an unknown outcome: %v", tt.name, i, err, tt.fails)
			}
		}
		for _, ident := range trioTables {
			tbl, err := back.Peek(ident)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(tbl.Metadata().Snapshots()); n != tt.rows {
				t.Errorf("%s: %v has %d snapshots, want %d", tt.name, ident, n, tt.rows)
			}
		}
		if many, one := back.Calls(icetest.CommitMany), back.Calls(icetest.Commit); many != 1 || one != tt.one {
			t.Errorf("%s: %d requests of several tables and %d of one, want 1 and %d", tt.name, many, one, tt.one)
		}
		if err := cat.Close(); err != nil {
			t.Error(err)
		}
		srv.Close()
	}
}
