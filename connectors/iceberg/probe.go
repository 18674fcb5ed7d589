package iceberg

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/route"
)

// Factory returns what makes connectors on real catalogs and brokers. They remember
// together which configs are in use: a catalog is tried for a connector that is new, or
// whose catalog, tables or ID columns have changed, and a change of another key can be
// made while the catalog is away.
func Factory() func() connect.SinkConnector {
	accepted := &acceptance{}
	return func() connect.SinkConnector { return &Connector{accepted: accepted} }
}

// An acceptance knows, by the name of the connector, a digest of the keys that were tried
// last and worked. It may be used from any goroutine; nil knows nothing.
type acceptance struct {
	mu      sync.Mutex // guards digests
	digests map[string][sha256.Size]byte
}

// maxAccepted bounds the names: validate takes any.
const maxAccepted = 4096

func (a *acceptance) has(config map[string]string) bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	d, ok := a.digests[config["name"]]
	return ok && d == probedKeys(config)
}

func (a *acceptance) add(config map[string]string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.digests == nil || len(a.digests) >= maxAccepted {
		a.digests = make(map[string][sha256.Size]byte)
	}
	a.digests[config["name"]] = probedKeys(config)
}

// probedKeys is a digest of the keys that the outcome of a probe depends on.
func probedKeys(config map[string]string) [sha256.Size]byte {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(config)) {
		switch {
		case strings.HasPrefix(k, "iceberg.catalog"), strings.HasPrefix(k, s3aPrefix), strings.HasSuffix(k, idColumnsSuffix):
		case k == route.KeyTables, k == route.KeyMapping, k == route.KeyNamespace, k == keyIDColumns, k == keyCDCField, k == keyUpsert, k == keyAnyCase:
		default:
			continue
		}
		text.WriteString(strconv.Quote(k) + "=" + strconv.Quote(config[k]) + "\n")
	}
	return sha256.Sum256([]byte(text.String()))
}

// maxTried bounds the tables that the self-test loads, so that a long list does not take
// the time that the catalog is given to answer.
const maxTried = 16

// probe tries the catalog and the storage, and looks at the tables that exist already.
func (c *Connector) probe(ctx context.Context, config map[string]string) []connect.ConfigError {
	c.doubts = nil
	if c.accepted.has(config) {
		return nil
	}
	cfg, err := parseConfig(config)
	if err != nil {
		return nil // said by then
	}
	router, err := route.Parse(config)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catalog.SelfTestTimeout)
	defer cancel()
	tables := router.Static()
	report := catalog.SelfTest(ctx, c.catalogOpener(), cfg.catalogName, cfg.catalogProps, tables[:min(len(tables), maxTried)])
	if err := report.Err(); err != nil {
		return []connect.ConfigError{{Key: keyCatalog, Message: fmt.Sprintf("Invalid value %s for configuration iceberg.catalog: the catalog, or its storage, cannot be used: %v", cfg.catalogName, err)}}
	}
	c.doubts = report.Warnings()
	out := c.probeTables(ctx, cfg, router)
	if len(out) == 0 {
		c.accepted.add(config)
	}
	return out
}

// probeTables looks whether the tables that exist have the ID columns.
func (c *Connector) probeTables(ctx context.Context, cfg *config, router *route.Router) (out []connect.ConfigError) {
	var cat catalog.Catalog
	for _, ident := range router.Static() {
		name := strings.Join(ident, ".")
		if !cfg.keyed() && len(cfg.idColumns(name)) == 0 {
			continue
		}
		if cat == nil {
			var err error
			if cat, err = c.catalogOpener()(ctx, cfg.catalogName, cfg.catalogProps); err != nil {
				return out // it answered a moment ago, and whether the columns are there is asked again with the first record
			}
			defer cat.Close() //nolint:errcheck // nothing is pending on it
		}
		t, err := cat.LoadTable(ctx, ident)
		if err != nil {
			continue // not there yet, or likewise
		}
		if err := cfg.checkKey(name, t.Schema()); err != nil {
			key := cfg.idColumnsKey(name)
			out = append(out, connect.ConfigError{Key: key, Message: fmt.Sprintf("Invalid value %s for configuration %s: %v", cfg.raw[key], key, err)})
		}
	}
	return out
}
