package registry

import (
	"encoding/json"
	"fmt"
)

// Key types of the schemas topic (Confluent's SchemaRegistryKeyType).
const (
	keySchema = "SCHEMA"
	keyConfig = "CONFIG"
	keyMode   = "MODE"
)

// A record is one entry of the schemas topic. Exactly one of version, level
// and mode is in use, as the key type says.
type record struct {
	keytype   string
	subject   string // "" is the global level of CONFIG and MODE
	version   *version
	level     string // CONFIG
	mode      string // MODE
	number    int    // of the version, for SCHEMA
	tombstone bool
}

// The wire forms: member names and order as Confluent's registry writes them.
type (
	schemaKey struct {
		KeyType string `json:"keytype"`
		Subject string `json:"subject"`
		Version int    `json:"version"`
		Magic   int    `json:"magic"`
	}
	subjectKey struct {
		KeyType string  `json:"keytype"`
		Subject *string `json:"subject"`
		Magic   int     `json:"magic"`
	}
	schemaValue struct {
		Subject    string      `json:"subject"`
		Version    int         `json:"version"`
		ID         int         `json:"id"`
		References []reference `json:"references,omitempty"`
		Schema     string      `json:"schema"`
		Deleted    bool        `json:"deleted"`
	}
	configValue struct {
		Level string `json:"compatibilityLevel"`
	}
	modeValue struct {
		Mode string `json:"mode"`
	}
)

func (r record) encode() (key, value []byte, err error) {
	if key, err = json.Marshal(r.wireKey()); err != nil {
		return nil, nil, fmt.Errorf("encode the key of a schemas record: %w", err)
	}
	if r.tombstone {
		return key, nil, nil
	}
	if value, err = json.Marshal(r.wireValue()); err != nil {
		return nil, nil, fmt.Errorf("encode the value of a schemas record: %w", err)
	}
	return key, value, nil
}

func (r record) wireKey() any {
	if r.keytype == keySchema {
		return schemaKey{keySchema, r.subject, r.number, 1}
	}
	k := subjectKey{KeyType: r.keytype}
	if r.subject != "" {
		k.Subject = &r.subject
	}
	return k
}

func (r record) wireValue() any {
	switch r.keytype {
	case keyConfig:
		return configValue{r.level}
	case keyMode:
		return modeValue{r.mode}
	}
	v := r.version
	return schemaValue{r.subject, r.number, v.schema.id, v.schema.references, v.schema.text, v.deleted}
}

// decode reads a record back. Key types that this registry never writes (NOOP,
// CLEAR_SUBJECT …) come back with keytype alone, for the caller to ignore.
func decode(key, value []byte) (record, error) {
	var k struct {
		KeyType string `json:"keytype"`
		Subject string `json:"subject"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(key, &k); err != nil {
		return record{}, fmt.Errorf("key %.80q: %w", key, err)
	}
	r := record{keytype: k.KeyType, subject: k.Subject, number: k.Version, tombstone: value == nil}
	if r.tombstone {
		return r, nil
	}
	var v struct {
		schemaValue
		configValue
		modeValue
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return record{}, fmt.Errorf("value of key %.80q: %w", key, err)
	}
	r.level, r.mode = v.Level, v.Mode
	if r.keytype == keySchema {
		if v.ID < 1 || k.Version < 1 {
			return record{}, fmt.Errorf("value of key %.80q: id %d, version %d", key, v.ID, k.Version)
		}
		r.version = &version{
			number:  k.Version,
			schema:  &schema{id: v.ID, text: v.Schema, references: v.References},
			deleted: v.Deleted,
		}
	}
	return r, nil
}
