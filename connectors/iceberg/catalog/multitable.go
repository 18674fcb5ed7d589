package catalog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"
)

// A MultiTable commits changes of several tables in one step: all of them or none. A
// conflict wraps table.ErrCommitFailed, and what the catalog did not take for another
// reason [ErrNotTaken]: nothing was changed then. The outcome of any other error is unknown,
// as with CommitTable. The tables must be loaded again to see what became of them.
type MultiTable interface {
	CommitTransaction(ctx context.Context, commits []table.TableCommit) error
}

// ErrNotTaken says that a catalog did not look into a commit of several tables, or not to
// its end: it cannot do that after all, or one of the tables is not there or not for this
// user to write.
var ErrNotTaken = errors.New("the catalog does not take this commit of several tables")

// AsMultiTable tells whether the catalog can commit several tables in one step: a REST
// catalog whose server says that it offers this.
func AsMultiTable(cat Catalog) (MultiTable, bool) {
	c, ok := cat.(interface {
		MultiTable
		OffersMultiTable() bool
	})
	if !ok || !c.OffersMultiTable() {
		return nil, false
	}
	return c, true
}

const transactionsPath = "/transactions/commit"

// OffersMultiTable tells whether the server lists the endpoint. One that lists nothing may
// have it by the specification, but many do not.
func (c *restCatalog) OffersMultiTable() bool {
	return slices.Contains(c.transport.server.Endpoints, "POST /v1/{prefix}"+transactionsPath)
}

// CommitTransaction implements [MultiTable].
func (c *restCatalog) CommitTransaction(ctx context.Context, commits []table.TableCommit) error {
	var status int
	err := c.Catalog.CommitTransaction(context.WithValue(ctx, statusKey{}, &status), commits)
	if err != nil && slices.Contains(notTaken, status) {
		return fmt.Errorf("%w: HTTP status %d: %w", ErrNotTaken, status, err)
	}
	return err
}

// notTaken are the answers of a server that cannot have changed anything. Of the others 401
// passes when the token has been renewed, and 408, 429 and those that proxies have made up
// say nothing of what the server did.
var notTaken = []int{
	http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
	http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented,
}

// A statusKey is under which a context has an *int for the status of the answer to a commit
// of several tables: of most, iceberg-go's errors do not tell it.
type statusKey struct{}

// noteStatus is told every answer.
func noteStatus(rsp *http.Response, r *http.Request) {
	if to, ok := r.Context().Value(statusKey{}).(*int); ok && strings.HasSuffix(r.URL.Path, transactionsPath) {
		*to = rsp.StatusCode
	}
}
