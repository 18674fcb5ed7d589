//go:build !noglue

package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/glue"
	"github.com/apache/iceberg-go/table"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// glueCatalog is iceberg-go's catalog in AWS Glue, whose tables are those of Java's
// GlueCatalog. A commit replaces the version of the Glue table that it read, or is
// refused.
type glueCatalog struct {
	*glue.Catalog
	props   map[string]string // of the storage
	ignored ignored
}

var _ Catalog = (*glueCatalog)(nil)

// openGlue takes Java's keys: warehouse, glue.id, glue.endpoint, glue.skip-archive, and
// who we are to AWS (see [storage.AWS]).
func openGlue(ctx context.Context, name string, props map[string]string) (Catalog, error) {
	if strings.EqualFold(props["glue.lakeformation-enabled"], "true") {
		return nil, errors.New("glue.lakeformation-enabled is true: this build asks no credentials of Lake Formation; use Glue's REST endpoint (type=rest with rest.sigv4-enabled=true), which lends them")
	}
	cfg, err := storage.AWS(ctx, props, "glue")
	if err != nil {
		return nil, fmt.Errorf("open Glue catalog %s: %w", name, err)
	}
	if endpoint := props["glue.endpoint"]; endpoint != "" {
		cfg.BaseEndpoint = aws.String(endpoint)
	}
	cfg.Retryer = unexecuted
	cat, err := glue.NewCatalog(glue.WithAwsConfig(cfg), glue.WithAwsProperties(props))
	if err != nil {
		return nil, fmt.Errorf("open Glue catalog %s: %w", name, err)
	}
	return &glueCatalog{Catalog: cat, props: props}, nil
}

// unexecuted asks again only when AWS has surely not executed the request. A commit sent
// twice would be refused the second time, though it has landed.
func unexecuted() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes}}
	})
}

// LoadTable loads a table that commits through c.
func (c *glueCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := c.Catalog.LoadTable(storage.Pin(ctx, c.props), ident)
	if err != nil {
		return nil, err
	}
	c.ignored.tell(ctx, t, c.props)
	return own(c, t, fixed(c.props, t)), nil
}

// CreateTable makes a table that commits through c.
func (c *glueCatalog) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	t, err := c.Catalog.CreateTable(storage.Pin(ctx, c.props), ident, schema, opts...)
	if err != nil {
		return nil, err
	}
	return own(c, t, fixed(c.props, t)), nil
}

// CommitTable commits; a requirement that does not hold wraps table.ErrCommitFailed, as
// a version that was replaced meanwhile does.
func (c *glueCatalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return c.Catalog.CommitTable(storage.Pin(ctx, c.props), ident, refusingAll(reqs), updates)
}
