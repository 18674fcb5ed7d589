package iceberg

import (
	"maps"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/route"
)

var _ connect.ConfigWarner = (*Connector)(nil)

// Warnings names the keys of a config that will not do what they seem to: unknown ones,
// those of tables that are not there, and those that have no effect here. Other than
// Java, which passes over all of them in silence.
func (c *Connector) Warnings(raw map[string]string) []connect.ConfigError { return warnings(raw) }

var _ connect.SelfTester = (*Connector)(nil)

// Doubts is what the last Validate could not do with catalog and storage.
func (c *Connector) Doubts() (out []connect.ConfigError) {
	for _, err := range c.doubts {
		out = append(out, connect.ConfigError{Key: keyCatalog, Message: err.Error()})
	}
	return out
}

func warnings(raw map[string]string) []connect.ConfigError {
	w := warner{raw: raw}
	if r, err := route.Parse(raw); err == nil {
		w.router = r
	}
	defined := make(map[string]bool)
	for _, k := range configDef().Keys {
		defined[k.Name] = true
	}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		switch {
		case !strings.HasPrefix(key, "iceberg."):
		case defined[key]:
			w.known(key)
		default:
			w.other(key)
		}
	}
	return w.out
}

type warner struct {
	raw    map[string]string
	router *route.Router // nil if the config does not say how to route
	out    []connect.ConfigError
}

func (w *warner) say(key, why string) {
	w.out = append(w.out, connect.ConfigError{Key: key, Message: key + " " + why})
}

// known is for keys that configDef declares.
func (w *warner) known(key string) {
	value := strings.TrimSpace(w.raw[key])
	if value == "" {
		return
	}
	tabular := w.raw["connector.class"] == TabularClass
	switch key {
	case keyGroupPrefix:
		w.say(key, "has no effect: the control topic is read without consumer groups")
	case keyTxnPrefix:
		w.say(key, "has no effect: the control topic is written without transactions")
	case keyKeepAlive:
		w.say(key, "has no effect: there is no thread pool to keep alive")
	case keyHadoopConf:
		w.say(key, "has no effect: there is no Hadoop in this build; put the settings under iceberg.catalog.")
	case keyControlGroup:
		if !tabular {
			w.say(key, "has no effect with this connector class: only "+TabularClass+" keeps its state under it")
		}
	case keyConnectGroup:
		if tabular {
			w.say(key, "has no effect with this connector class: its state is kept under "+keyControlGroup)
		}
	case keyCDCField:
		if !tabular {
			w.say(key, "takes effect: rows are updated and deleted, where Apache's sink for Java would append every change (leave it out to append)")
		}
	case keyUpsert:
		if !tabular && strings.EqualFold(value, "true") {
			w.say(key, "takes effect: rows replace those with the same ID columns, where Apache's sink for Java would append them (leave it out to append)")
		}
	case route.KeyTables:
		w.patterns(key)
	}
}

// patterns looks for tables that no record goes to.
func (w *warner) patterns(key string) {
	if w.router == nil || w.raw[route.KeyRouteField] == "" && w.raw[route.KeyRouteBy] == "" {
		return
	}
	for _, id := range w.router.Static() {
		if w.raw[tablePrefix+strings.Join(id, ".")+route.RegexSuffix] != "" {
			return
		}
	}
	w.say(key, "lists tables, and a route value is to choose among them, but none has its "+tablePrefix+"NAME"+route.RegexSuffix+": no record will go anywhere")
}

// other is for keys that are formed, or mistaken.
func (w *warner) other(key string) {
	if strings.HasPrefix(key, "iceberg.hadoop.") {
		w.hadoop(key)
		return
	}
	if key == transactionalKey { // Java's connector gives it to its tasks
		return
	}
	for _, p := range prefixes {
		if strings.HasPrefix(key, p) && len(key) > len(p) {
			return
		}
	}
	if name, ok := tableOf(key); ok {
		w.table(key, name)
		return
	}
	why := "is not known and has no effect"
	if s := suggest(key); s != "" {
		why += ": did you mean " + s + "?"
	}
	w.say(key, why)
}

// tableOf finds the NAME in iceberg.table.NAME.partition-by and its like.
func tableOf(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, tablePrefix)
	if !ok {
		return "", false
	}
	for _, suffix := range tableSuffixes {
		if name, ok := strings.CutSuffix(rest, suffix); ok && name != "" {
			return name, true
		}
	}
	return "", false
}

// table looks whether a key's table is one of those in the config.
func (w *warner) table(key, name string) {
	if w.router == nil || len(w.router.Static()) == 0 {
		return // names come from records
	}
	var names []string
	for _, id := range w.router.Static() {
		whole := strings.Join(id, ".")
		if name == whole || name == id[len(id)-1] && strings.HasSuffix(key, idColumnsSuffix) {
			return
		}
		names = append(names, strings.Replace(key, tablePrefix+name, tablePrefix+whole, 1))
	}
	why := "is about a table that no record goes to"
	if s := nearest(key, names); s != "" {
		why += ": did you mean " + s + "?"
	}
	w.say(key, why)
}

// suggest finds the key that was probably meant, "" if none is near.
func suggest(key string) string {
	var near []string
	for _, k := range configDef().Keys {
		near = append(near, k.Name)
	}
	for _, p := range prefixes {
		if at := nth(key, '.', strings.Count(p, ".")); at > 0 {
			near = append(near, p+key[at:])
		}
	}
	if at := strings.LastIndexByte(key, '.'); at > len(tablePrefix) && strings.HasPrefix(key, tablePrefix) {
		for _, suffix := range tableSuffixes {
			near = append(near, key[:at]+suffix)
		}
	}
	return nearest(key, near)
}

// nth finds what comes after the nth c, -1 if there are fewer.
func nth(s string, c byte, n int) int {
	for i := range len(s) {
		if s[i] == c {
			if n--; n == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// nearest is the candidate with the fewest letters changed, "" if all are far.
func nearest(key string, candidates []string) string {
	best, least := "", len(key)/6+2
	for _, c := range candidates {
		if d := distance(key, c); d > 0 && d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace (Levenshtein).
func distance(a, b string) int {
	const longest = 256 // of what people write by hand; beyond it only equality counts
	if len(a) > longest || len(b) > longest {
		if a == b {
			return 0
		}
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
