package simtest

import (
	"context"
	"errors"
	"fmt"
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
	commits := op == icetest.Commit || op == icetest.CommitMany
	switch n := roll.IntN(100); {
	case n < 8:
		f.Before = errCatalog
	case n < 12 && commits:
		f.Before = table.ErrCommitFailed
	case n < 27 && commits:
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

var (
	_ catalog.Catalog    = lake{}
	_ catalog.MultiTable = lake{}
)

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

func (k lake) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	var meta table.Metadata
	var location string
	err := k.commit(ctx, ident[len(ident)-1], func(ctx context.Context) (err error) {
		meta, location, err = k.Catalog.CommitTable(ctx, ident, reqs, updates)
		return err
	})
	if err != nil { // it may land still, and write to both
		return nil, "", err
	}
	return meta, location, nil
}

func (k lake) CommitTransaction(ctx context.Context, commits []table.TableCommit) error {
	return k.commit(ctx, fmt.Sprintf("%d tables", len(commits)), func(ctx context.Context) error {
		return k.Catalog.CommitTransaction(ctx, commits)
	})
}

// commit is where a coordinator is killed now and then: just before its commit lands, just
// after, or while it is on its way, which it may be for long; and where a gateway gives a
// request up that lands all the same.
func (k lake) commit(ctx context.Context, name string, send func(context.Context) error) error {
	if err := k.p.reach(ctx); err != nil {
		return err
	}
	w := k.p.w
	roll := w.roll("commit")
	if roll == nil {
		return send(ctx)
	}
	late := time.Duration(roll.IntN(12_000)) * time.Millisecond
	land := func(late time.Duration) {
		w.asides.Go(func() {
			time.Sleep(late)
			err := send(context.Background())
			w.journal.note("a late commit to %s lands: %v", name, err)
		})
	}
	switch fate := roll.IntN(100); {
	case fate < 2:
		w.murder(k.p, "before its commit to "+name)
		return errDead
	case fate < 5:
		w.murder(k.p, "after its commit to "+name)
		land(0)
		return errDead
	case fate < 10:
		w.murder(k.p, "while its commit to "+name+" is on its way, for "+late.String())
		land(late)
		return errDead
	case fate < 15:
		w.journal.note("a gateway gives up a commit of %s to %s, which lands after %v", k.p.name, name, late/4)
		land(late / 4)
		return errGateway
	}
	return send(ctx)
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
