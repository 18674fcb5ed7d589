package registry

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A schema is one text under one id, shared by the subjects that registered it.
type schema struct {
	id         int
	text       string
	references []reference
}

// A reference makes the names of another subject's version known to a schema.
type reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// A version is a schema's place in a subject. A deleted version keeps its
// number and its id; it is hidden until it is deleted for good.
type version struct {
	number  int
	schema  *schema
	deleted bool
}

// state is what the journal says. It belongs to Run's goroutine.
type state struct {
	subjects map[string][]*version // by number, ascending
	schemas  map[int]*schema       // by id
	ids      map[string]int        // identity → id
	levels   map[string]string     // compatibility by subject, "" for the global one
	modes    map[string]string     // likewise
	lastID   int
}

func newState() *state {
	return &state{
		subjects: map[string][]*version{},
		schemas:  map[int]*schema{},
		ids:      map[string]int{},
		levels:   map[string]string{},
		modes:    map[string]string{},
	}
}

// apply takes in one record of the journal.
func (st *state) apply(key, value []byte) error {
	r, err := decode(key, value)
	if err != nil {
		return err
	}
	switch r.keytype {
	case keySchema:
		st.applyVersion(r)
	case keyConfig:
		set(st.levels, r.subject, r.level)
	case keyMode:
		set(st.modes, r.subject, r.mode)
	}
	return nil
}

func set(m map[string]string, key, value string) {
	if value == "" {
		delete(m, key)
		return
	}
	m[key] = value
}

func (st *state) applyVersion(r record) {
	versions := st.subjects[r.subject]
	at, found := slices.BinarySearchFunc(versions, r.number, func(v *version, n int) int { return v.number - n })
	switch {
	case r.tombstone && found:
		versions = slices.Delete(versions, at, at+1)
	case r.tombstone:
	case found:
		versions[at] = r.version
	default:
		versions = slices.Insert(versions, at, r.version)
	}
	st.subjects[r.subject] = versions
	if len(versions) == 0 {
		delete(st.subjects, r.subject)
	}
	if r.tombstone {
		return
	}
	s := r.version.schema
	if known, ok := st.schemas[s.id]; ok {
		r.version.schema = known
		return
	}
	st.schemas[s.id] = s
	st.ids[identity(s.text, s.references)] = s.id
	st.lastID = max(st.lastID, s.id)
}

// identity tells whether two texts are the same schema: the JSON without white
// space, member order kept, and the references. Avro's parsing canonical form would
// not do: it drops logical types, defaults and docs.
func identity(text string, refs []reference) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		b.Reset()
		b.WriteString(text)
	}
	for _, ref := range refs {
		b.WriteByte(0)
		b.WriteString(ref.Name + "\x00" + ref.Subject + "\x00" + strconv.Itoa(ref.Version))
	}
	return b.String()
}

// live returns the versions of a subject that are not deleted, all of them if
// deleted is true.
func (st *state) live(subject string, deleted bool) []*version {
	return slices.DeleteFunc(slices.Clone(st.subjects[subject]), func(v *version) bool { return v.deleted && !deleted })
}

// names returns the subjects that have a version to show, sorted.
func (st *state) names(prefix string, deleted bool) []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(st.subjects)) {
		if strings.HasPrefix(name, prefix) && len(st.live(name, deleted)) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// find returns the version of subject with this schema, nil if there is none.
func (st *state) find(subject, ident string, deleted bool) *version {
	id, ok := st.ids[ident]
	if !ok {
		return nil
	}
	for _, v := range slices.Backward(st.live(subject, deleted)) {
		if v.schema.id == id {
			return v
		}
	}
	return nil
}

// level is the compatibility in force for subject.
func (st *state) level(subject string) string {
	if l, ok := st.levels[subject]; ok {
		return l
	}
	if l, ok := st.levels[""]; ok {
		return l
	}
	return levelBackward
}

// mode is the mode in force for subject.
func (st *state) mode(subject string) string {
	if m, ok := st.modes[subject]; ok {
		return m
	}
	if m, ok := st.modes[""]; ok {
		return m
	}
	return modeReadWrite
}
