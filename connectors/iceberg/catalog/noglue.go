//go:build noglue

package catalog

import (
	"context"
	"errors"
)

func openGlue(context.Context, string, map[string]string) (Catalog, error) {
	return nil, errors.New("the Glue catalog was left out of this build by the tag noglue; Glue's REST endpoint works (type=rest with rest.sigv4-enabled=true)")
}
