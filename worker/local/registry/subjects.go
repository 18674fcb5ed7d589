package registry

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/hamba/avro/v2"
)

const typeAvro = "AVRO"

// A submission is the body of a lookup, a registration or a check.
type submission struct {
	Schema     string      `json:"schema"`
	Type       string      `json:"schemaType"`
	References []reference `json:"references"`
}

// readSubmission returns the posted schema, parsed. An absent schemaType means AVRO.
func readSubmission(r *http.Request, st *state) (submission, avro.Schema, error) {
	var sub submission
	if err := decodeBody(r, &sub); err != nil {
		return sub, nil, err
	}
	if sub.Type != "" && sub.Type != typeAvro {
		return sub, nil, &apiError{http.StatusUnprocessableEntity, 42201, "Invalid schema type " + sub.Type + ": this registry holds " + typeAvro}
	}
	parsed, err := st.parse(sub.Schema, sub.References)
	if err != nil {
		return sub, nil, errInvalidSchema(err)
	}
	return sub, parsed, nil
}

// An entity is one version as the API shows it.
type entity struct {
	Subject    string      `json:"subject"`
	Version    int         `json:"version"`
	ID         int         `json:"id"`
	References []reference `json:"references,omitempty"`
	Schema     string      `json:"schema"`
}

func entityOf(subject string, v *version) entity {
	return entity{subject, v.number, v.schema.id, v.schema.references, v.schema.text}
}

func numbers(versions []*version) []int {
	list := []int{}
	for _, v := range versions {
		list = append(list, v.number)
	}
	return list
}

func listSubjects(r *http.Request, st *state) (any, error) {
	return st.names(r.URL.Query().Get("subjectPrefix"), flag(r, "deleted")), nil
}

func listVersions(r *http.Request, st *state) (any, error) {
	subject := pathParam(r, "subject")
	versions := st.live(subject, flag(r, "deleted"))
	if len(versions) == 0 {
		return nil, errSubject(subject)
	}
	return numbers(versions), nil
}

func getVersion(r *http.Request, st *state) (any, error) {
	subject, v, err := versionParam(r, st)
	if err != nil {
		return nil, err
	}
	return entityOf(subject, v), nil
}

func getVersionText(r *http.Request, st *state) (any, error) {
	_, v, err := versionParam(r, st)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(v.schema.text), nil
}

// lookup tells under which version and id a subject holds a schema.
func lookup(r *http.Request, st *state) (any, error) {
	subject := pathParam(r, "subject")
	sub, _, err := readSubmission(r, st)
	if err != nil {
		return nil, err
	}
	deleted := flag(r, "deleted")
	if len(st.live(subject, deleted)) == 0 {
		return nil, errSubject(subject)
	}
	if v := st.find(subject, identity(sub.Schema, sub.References), deleted); v != nil {
		return entityOf(subject, v), nil
	}
	return nil, errNoSuchSchema()
}

// register gives a schema its id and its version. The same schema keeps its id
// in every subject, and its version in this one.
func (r *Registry) register(req *http.Request, st *state) (any, error) {
	subject := pathParam(req, "subject")
	sub, parsed, err := readSubmission(req, st)
	if err != nil {
		return nil, err
	}
	type answer struct {
		ID int `json:"id"`
	}
	ident := identity(sub.Schema, sub.References)
	if v := st.find(subject, ident, false); v != nil {
		return answer{v.schema.id}, nil
	}
	if mode := st.mode(subject); mode != modeReadWrite {
		return nil, errReadOnly(subject, mode)
	}
	if reasons := st.incompatible(st.level(subject), parsed, st.live(subject, false)); len(reasons) > 0 {
		return nil, errIncompatible(subject, reasons)
	}
	id, known := st.ids[ident]
	if !known {
		id = st.lastID + 1
	}
	number := 1
	if all := st.subjects[subject]; len(all) > 0 {
		number = all[len(all)-1].number + 1
	}
	rec := record{keytype: keySchema, subject: subject, number: number, version: &version{
		number: number,
		schema: &schema{id: id, text: sub.Schema, references: sub.References},
	}}
	if err := r.write(req.Context(), st, rec); err != nil {
		return nil, err
	}
	return answer{id}, nil
}

// remove deletes versions: softly, or for good when they were softly deleted before.
func (r *Registry) remove(req *http.Request, st *state, subject string, versions []*version, permanent bool) error {
	for _, v := range versions {
		gone := *v
		gone.deleted = true
		rec := record{keytype: keySchema, subject: subject, number: v.number, version: &gone, tombstone: permanent}
		if err := r.write(req.Context(), st, rec); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) deleteSubject(req *http.Request, st *state) (any, error) {
	subject := pathParam(req, "subject")
	all, live := st.live(subject, true), st.live(subject, false)
	permanent := flag(req, "permanent")
	switch {
	case len(all) == 0:
		return nil, errSubject(subject)
	case permanent && len(live) > 0:
		return nil, errNotSoftDeleted(subject)
	case !permanent && len(live) == 0:
		return nil, errSoftDeleted(subject)
	case !permanent:
		all = live
	}
	return numbers(all), r.remove(req, st, subject, all, permanent)
}

func (r *Registry) deleteVersion(req *http.Request, st *state) (any, error) {
	permanent := flag(req, "permanent")
	q := req.URL.Query()
	q.Set("deleted", "true") // versionParam is to find hidden versions too
	req.URL.RawQuery = q.Encode()
	subject, v, err := versionParam(req, st)
	switch {
	case err != nil:
		return nil, err
	case permanent && !v.deleted:
		return nil, errVersionNotSoftDeleted(subject, v.number)
	case !permanent && v.deleted:
		return nil, errVersionSoftDeleted(subject, v.number)
	}
	return v.number, r.remove(req, st, subject, []*version{v}, permanent)
}

func schemaParam(r *http.Request, st *state) (*schema, error) {
	id, err := idParam(r)
	if err != nil {
		return nil, err
	}
	if s, ok := st.schemas[id]; ok {
		return s, nil
	}
	return nil, errSchemaID(id)
}

func getSchema(r *http.Request, st *state) (any, error) {
	s, err := schemaParam(r, st)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Schema     string      `json:"schema"`
		References []reference `json:"references,omitempty"`
		MaxID      int         `json:"maxId,omitempty"`
	}{Schema: s.text, References: s.references}
	if flag(r, "fetchMaxId") {
		answer.MaxID = st.lastID
	}
	return answer, nil
}

func getSchemaText(r *http.Request, st *state) (any, error) {
	s, err := schemaParam(r, st)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(s.text), nil
}

// A place is a version of a subject.
type place struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

func getSchemaVersions(r *http.Request, st *state) (any, error) {
	s, err := schemaParam(r, st)
	if err != nil {
		return nil, err
	}
	places := []place{}
	for _, subject := range slices.Sorted(maps.Keys(st.subjects)) {
		for _, v := range st.live(subject, flag(r, "deleted")) {
			if v.schema.id == s.id {
				places = append(places, place{subject, v.number})
			}
		}
	}
	return places, nil
}

func getSchemaSubjects(r *http.Request, st *state) (any, error) {
	answer, err := getSchemaVersions(r, st)
	if err != nil {
		return nil, err
	}
	subjects := []string{}
	for _, p := range answer.([]place) {
		subjects = append(subjects, p.Subject)
	}
	return slices.Compact(subjects), nil
}
