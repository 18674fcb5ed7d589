package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
)

// ErrRefused says that a table cannot get the schema asked for, now or later: the schema
// is no valid one for it.
var ErrRefused = errors.New("the table cannot have this schema")

// ErrNotAllowed says that the credentials do not suffice to change a table.
var ErrNotAllowed = errors.New("the catalog does not allow to change the table")

const (
	evolveTries = 4
	evolvePause = 100 * time.Millisecond // before the second try, doubled from then on
)

// EvolveSchema gives a table the schema that next makes of the present one, and the name
// mapping if that is not nil (property schema.name-mapping.default), and returns the
// table as it is then. A nil schema says that the table is well as it is.
//
// It commits on condition that the schema and the last column id are still those that
// next saw. After any error, an unclear one too, it loads the table and asks next again,
// so that a rival's equal change counts as done. The branch heads do not move. Errors may
// wrap [ErrRefused] and [ErrNotAllowed]; any other may pass.
func EvolveSchema(ctx context.Context, cat Catalog, ident table.Identifier, next func(*table.Table) (*iceberg.Schema, iceberg.NameMapping, error)) (*table.Table, error) {
	name := strings.Join(ident, ".")
	var failed error
	for try := range evolveTries {
		if try > 0 {
			pause := evolvePause << (try - 1)
			if err := sleep(ctx, pause+rand.N(pause)); err != nil {
				return nil, err
			}
		}
		t, err := cat.LoadTable(ctx, ident)
		if err != nil {
			return nil, err
		}
		schema, mapping, err := next(t)
		if err != nil {
			return nil, fmt.Errorf("change the schema of table %s: %w: %w", name, ErrRefused, err)
		}
		if schema == nil {
			return t, nil
		}
		if err := setSchema(ctx, cat, t, schema, mapping); err != nil {
			if failed = fmt.Errorf("change the schema of table %s: %w", name, err); errors.Is(err, ErrRefused) || errors.Is(err, ErrNotAllowed) {
				return nil, failed
			}
			continue
		}
		return cat.LoadTable(ctx, ident)
	}
	return nil, failed
}

// setSchema makes one commit.
func setSchema(ctx context.Context, cat Catalog, t *table.Table, schema *iceberg.Schema, mapping iceberg.NameMapping) error {
	meta := t.Metadata()
	id := 0
	for _, s := range meta.Schemas() {
		id = max(id, s.ID+1)
	}
	schema = iceberg.NewSchemaWithIdentifiers(id, schema.IdentifierFieldIDs, schema.Fields()...)
	updates := []table.Update{table.NewAddSchemaUpdate(schema), table.NewSetCurrentSchemaUpdate(-1)}
	if mapping != nil {
		text, err := json.Marshal(mapping)
		if err != nil {
			return fmt.Errorf("encode the name mapping: %w", err)
		}
		updates = append(updates, table.NewSetPropertiesUpdate(iceberg.Properties{table.DefaultNameMappingKey: string(text)}))
	}
	// What the catalog would find wrong, before it is asked.
	if _, err := table.UpdateTableMetadata(meta, updates, t.MetadataLocation()); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	_, _, err := cat.CommitTable(ctx, t.Identifier(), []table.Requirement{
		table.AssertTableUUID(meta.TableUUID()),
		table.AssertCurrentSchemaID(t.Schema().ID),
		table.AssertLastAssignedFieldID(meta.LastColumnID()),
	}, updates)
	switch {
	case errors.Is(err, rest.ErrBadRequest):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, rest.ErrForbidden):
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	return err
}
