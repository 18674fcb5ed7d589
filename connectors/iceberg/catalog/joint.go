package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go/table"
)

// A Joint lets tables that are committed to side by side become visible in one step. For
// each of them a [Participant] stands in for the catalog: its CommitTable waits until every
// other participant has come as far, or has left, and then all that are there go in one
// request. Nobody waits for longer than patience: who comes later goes alone.
//
// Nothing else is shared. Each table is loaded for itself and states its own requirements;
// what becomes of the request is told to each:
//   - It succeeded: so did each.
//   - It was refused: nothing was changed, and each goes alone with what it has stated, so
//     that a table in trouble holds back itself and no other. Requirements that pin a head
//     make this safe with a server that is wrong about having changed nothing.
//   - Anything else is an unknown outcome for each.
//
// A Joint starts no goroutine and keeps nothing of the tables.
type Joint struct {
	cat    table.CatalogIO
	multi  MultiTable
	logger *slog.Logger

	mu       sync.Mutex // guards what follows and what groups have; never held while somebody waits
	open     *group     // the one that lets others in; nil: there is none
	notTaken int        // how often in a row; at giveUpAfter all go alone from then on
}

const (
	patience    = 3 * time.Second
	giveUpAfter = 3
)

// NewJoint commits single tables through cat and several through multi.
func NewJoint(cat table.CatalogIO, multi MultiTable, logger *slog.Logger) *Joint {
	return &Joint{cat: cat, multi: multi, logger: logger}
}

// A group is what goes in one request.
type group struct {
	coming  int // participants that are neither there nor gone
	commits []table.TableCommit
	shut    chan struct{} // closed when nobody else is let in
	done    chan struct{} // closed when err is set
	err     error
}

// errAlone is of a group of one: no request is sent.
var errAlone = fmt.Errorf("%w: it is of one table", ErrNotTaken)

// A Participant is the catalog for one try to commit to one table, by one goroutine.
type Participant struct {
	joint *Joint
	group *group       // that waits for it; nil: none does any more
	base  *table.Table // as loaded last
}

var _ table.CatalogIO = (*Participant)(nil)

// Join announces a table: those that are there before it wait. Leave must be called at the
// end of the try.
func (j *Joint) Join() *Participant {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := &Participant{joint: j}
	if j.notTaken >= giveUpAfter {
		return p
	}
	if j.open == nil {
		j.open = &group{shut: make(chan struct{}), done: make(chan struct{})}
	}
	p.group = j.open
	p.group.coming++
	return p
}

// Leave says that the others need not wait for it: there is nothing to commit, or it was
// committed. It may be called twice, and on nil.
func (p *Participant) Leave() {
	if p == nil {
		return
	}
	p.joint.mu.Lock()
	defer p.joint.mu.Unlock()
	p.out()
}

// out takes the participant off those that are waited for; joint.mu is held.
func (p *Participant) out() *group {
	g := p.group
	if p.group = nil; g == nil {
		return nil
	}
	if g.coming--; g.coming == 0 {
		p.joint.shut(g)
	}
	return g
}

// shut lets nobody else into the group; mu is held.
func (j *Joint) shut(g *group) {
	if j.open == g {
		j.open = nil
		close(g.shut)
	}
}

// LoadTable loads a table that commits through p.
func (p *Participant) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := p.joint.cat.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	p.base = t
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), t.FS, p), nil
}

// CommitTable commits the table together with others the first time, and alone after that.
// Nobody tells what a table has become that went with others: the metadata are those loaded
// with the updates, and the location is still theirs.
func (p *Participant) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	g, first := p.arrive(table.TableCommit{Identifier: ident, Requirements: reqs, Updates: updates})
	if g == nil {
		return p.joint.cat.CommitTable(ctx, ident, reqs, updates)
	}
	if first {
		p.joint.send(ctx, g)
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	switch {
	case g.err == nil:
		location := p.base.MetadataLocation()
		meta, err := table.UpdateTableMetadata(p.base.Metadata(), updates, location)
		return meta, location, err
	case errors.Is(g.err, table.ErrCommitFailed), errors.Is(g.err, ErrNotTaken):
		return p.joint.cat.CommitTable(ctx, ident, reqs, updates)
	}
	return nil, "", g.err
}

// arrive adds a commit to the group that waits for it, if one still does. The first one
// has to send.
func (p *Participant) arrive(c table.TableCommit) (g *group, first bool) {
	p.joint.mu.Lock()
	defer p.joint.mu.Unlock()
	if p.group == nil || p.group != p.joint.open {
		return nil, false
	}
	p.group.commits = append(p.group.commits, c)
	g = p.out()
	return g, len(g.commits) == 1
}

// send waits for the group and commits it.
func (j *Joint) send(ctx context.Context, g *group) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-g.shut:
	case <-late.C:
	case <-ctx.Done():
	}
	j.mu.Lock()
	j.shut(g)
	j.mu.Unlock()
	if g.err = errAlone; len(g.commits) > 1 {
		g.err = j.multi.CommitTransaction(ctx, g.commits)
		j.judge(g)
	}
	close(g.done)
}

// judge tells what a request has come to, and learns from it.
func (j *Joint) judge(g *group) {
	names := make([]string, len(g.commits))
	for i, c := range g.commits {
		names[i] = strings.Join(c.Identifier, ".")
	}
	slices.Sort(names)
	switch {
	case g.err == nil:
		j.logger.Info("committed several tables in one request", "tables", names)
		j.mu.Lock()
		j.notTaken = 0
		j.mu.Unlock()
	case errors.Is(g.err, ErrNotTaken):
		j.mu.Lock()
		j.notTaken++
		last := j.notTaken == giveUpAfter
		j.mu.Unlock()
		if last {
			j.logger.Warn("the catalog says that it commits several tables in one request, and does not; each is committed alone from now on", "tables", names, "error", g.err)
		}
	case errors.Is(g.err, table.ErrCommitFailed):
		j.logger.Info("the commit of several tables in one request was refused; each goes alone", "tables", names, "error", g.err)
	default:
		g.err = fmt.Errorf("commit %d tables in one request: %w", len(names), g.err)
	}
}
