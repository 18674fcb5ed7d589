package registry

import (
	"fmt"
	"slices"

	"github.com/hamba/avro/v2"
)

// Compatibility levels and modes, as the API spells them.
const (
	levelBackward = "BACKWARD"
	levelNone     = "NONE"
	modeReadWrite = "READWRITE"
)

// A rule says which older versions a new one is checked against, and how.
type rule struct {
	backward, forward bool // new reads old; old reads new
	all               bool // every version, not the latest alone
}

var rules = map[string]rule{
	levelNone:             {},
	levelBackward:         {backward: true},
	"BACKWARD_TRANSITIVE": {backward: true, all: true},
	"FORWARD":             {forward: true},
	"FORWARD_TRANSITIVE":  {forward: true, all: true},
	"FULL":                {backward: true, forward: true},
	"FULL_TRANSITIVE":     {backward: true, forward: true, all: true},
}

// modes are those that make sense with one writer; IMPORT, which lets the client
// choose the ids, is not among them.
var modes = []string{modeReadWrite, "READONLY", "READONLY_OVERRIDE"}

// incompatible returns why a new schema does not follow the older versions
// under the rule of the level; nothing if it does.
func (st *state) incompatible(level string, parsed avro.Schema, older []*version) []string {
	ru := rules[level]
	if len(older) > 0 && !ru.all {
		older = older[len(older)-1:]
	}
	var reasons []string
	check := avro.NewSchemaCompatibility()
	for _, v := range slices.Backward(older) {
		old, err := st.parse(v.schema.text, v.schema.references)
		if err != nil {
			reasons = append(reasons, fmt.Sprintf("version %d cannot be read: %v", v.number, err))
			continue
		}
		if ru.backward {
			if err := check.Compatible(parsed, old); err != nil {
				reasons = append(reasons, fmt.Sprintf("the new schema cannot read data of version %d: %v", v.number, err))
			}
		}
		if ru.forward {
			if err := check.Compatible(old, parsed); err != nil {
				reasons = append(reasons, fmt.Sprintf("version %d cannot read data of the new schema: %v", v.number, err))
			}
		}
	}
	return reasons
}

// maxReferences bounds how many schemas one schema may pull in, in all.
const maxReferences = 1000

// parse reads an Avro schema with a name cache of its own: the library's global
// cache would let one schema's names leak into the next.
func (st *state) parse(text string, refs []reference) (avro.Schema, error) {
	cache := &avro.SchemaCache{}
	budget := maxReferences
	if err := st.load(cache, refs, &budget); err != nil {
		return nil, err
	}
	return avro.ParseWithCache(text, "", cache)
}

// load parses referenced schemas into cache, the deepest first.
func (st *state) load(cache *avro.SchemaCache, refs []reference, budget *int) error {
	for _, ref := range refs {
		if *budget--; *budget < 0 {
			return fmt.Errorf("more than %d references", maxReferences)
		}
		versions := st.subjects[ref.Subject]
		at := slices.IndexFunc(versions, func(v *version) bool { return v.number == ref.Version })
		if at < 0 {
			return fmt.Errorf("reference %s: no version %d of subject %s", ref.Name, ref.Version, ref.Subject)
		}
		if err := st.load(cache, versions[at].schema.references, budget); err != nil {
			return err
		}
		if _, err := avro.ParseWithCache(versions[at].schema.text, "", cache); err != nil {
			return fmt.Errorf("reference %s: %w", ref.Name, err)
		}
	}
	return nil
}
