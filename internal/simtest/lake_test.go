package simtest

import (
	"context"
	"errors"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

var (
	errCatalog = errors.New("simulated: catalog answers 503")
	errLost    = errors.New("simulated: reply of the catalog was lost")
	errGateway = errors.New("simulated: 504, no answer from the catalog")
	errStorage = errors.New("simulated: disk full")
)

// catalogFault decides what happens to one request to the catalog.
func (w *world) catalogFault(op icetest.Op, _ int) icetest.Fault {
	roll := w.roll("catalog " + string(op))
	var f icetest.Fault
	if roll == nil {
		return f
	}
	if roll.IntN(100) < 20 {
		f.DelayBefore = time.Duration(roll.IntN(1500)) * time.Millisecond
		f.Detached = roll.IntN(2) == 0
	}
	if roll.IntN(100) < 20 {
		f.DelayAfter = time.Duration(roll.IntN(1000)) * time.Millisecond
	}
	switch n := roll.IntN(100); {
	case n < 8:
		f.Before = errCatalog
	case n < 12 && op == icetest.Commit:
		f.Before = table.ErrCommitFailed
	case n < 27 && op == icetest.Commit:
		f.After = errLost
	}
	return f
}

// A lake is the catalog and the storage as one process sees them. Tables that it loads
// commit through it, and write through its storage.
type lake struct {
	*icetest.Catalog
	p *process
}

var _ catalog.Catalog = lake{}

func (k lake) own(t *table.Table, err error) (*table.Table, error) {
	if err != nil {
		return nil, err
	}
	files := disk{k.Files(), k.p}
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), func(ctx context.Context) (icebergio.IO, error) {
		return storage.Bind(ctx, files), nil
	}, k), nil
}

func (k lake) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	if err := k.p.reach(ctx); err != nil {
		return nil, err
	}
	return k.own(k.Catalog.LoadTable(ctx, ident))
}

func (k lake) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	if err := k.p.reach(ctx); err != nil {
		return nil, err
	}
	return k.own(k.Catalog.CreateTable(ctx, ident, schema, opts...))
}

func (k lake) CreateNamespace(ctx context.Context, namespace table.Identifier, props iceberg.Properties) error {
	if err := k.p.reach(ctx); err != nil {
		return err
	}
	return k.Catalog.CreateNamespace(ctx, namespace, props)
}

// CommitTable is where a coordinator is killed now and then: just before its commit
// lands, just after, or while it is on its way, which it may be for long; and where a
// gateway gives a request up that lands all the same.
func (k lake) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if err := k.p.reach(ctx); err != nil {
		return nil, "", err
	}
	w, name := k.p.w, ident[len(ident)-1]
	roll := w.roll("commit")
	if roll == nil {
		return k.Catalog.CommitTable(ctx, ident, reqs, updates)
	}
	late := time.Duration(roll.IntN(12_000)) * time.Millisecond
	land := func(late time.Duration) {
		w.asides.Go(func() {
			time.Sleep(late)
			_, _, err := k.Catalog.CommitTable(context.Background(), ident, reqs, updates)
			w.journal.note("a late commit to %s lands: %v", name, err)
		})
	}
	switch fate := roll.IntN(100); {
	case fate < 2:
		w.murder(k.p, "before its commit to "+name)
		return nil, "", errDead
	case fate < 5:
		w.murder(k.p, "after its commit to "+name)
		land(0)
		return nil, "", errDead
	case fate < 10:
		w.murder(k.p, "while its commit to "+name+" is on its way, for "+late.String())
		land(late)
		return nil, "", errDead
	case fate < 15:
		w.journal.note("a gateway gives up a commit of %s to %s, which lands after %v", k.p.name, name, late/4)
		land(late / 4)
		return nil, "", errGateway
	}
	return k.Catalog.CommitTable(ctx, ident, reqs, updates)
}

// A disk is the storage as one process sees it.
type disk struct {
	*icetest.Files
	p *process
}

func (d disk) Create(ctx context.Context, path string) (storage.Writer, error) {
	if err := d.p.reach(ctx); err != nil {
		return nil, err
	}
	return d.Files.Create(ctx, path)
}

func (d disk) CreateNew(ctx context.Context, path string) (storage.Writer, error) {
	if err := d.p.reach(ctx); err != nil {
		return nil, err
	}
	return d.Files.CreateNew(ctx, path)
}

func (d disk) Open(ctx context.Context, path string) (icebergio.File, error) {
	if err := d.p.reach(ctx); err != nil {
		return nil, err
	}
	return d.Files.Open(ctx, path)
}

func (d disk) ReadFile(ctx context.Context, path string) ([]byte, error) {
	if err := d.p.reach(ctx); err != nil {
		return nil, err
	}
	return d.Files.ReadFile(ctx, path)
}

func (d disk) Remove(ctx context.Context, path string) error {
	if err := d.p.reach(ctx); err != nil {
		return err
	}
	return d.Files.Remove(ctx, path)
}
