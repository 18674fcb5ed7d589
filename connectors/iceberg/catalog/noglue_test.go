//go:build noglue

package catalog_test

import (
	"strings"
	"testing"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
)

func eachGlue(*testing.T, func(*testing.T, catalog.Catalog)) {}

func TestNoGlue(t *testing.T) {
	if _, err := catalog.Open(t.Context(), "iceberg", map[string]string{"type": "glue", "warehouse": "file:///w"}); err == nil || !strings.Contains(err.Error(), "noglue") {
		t.Errorf("opened Glue with %v", err)
	}
}
