package main

import "github.com/firn-io/firn/connect"

// DropTombstones drops records without a value.
type DropTombstones struct{}

func newDropTombstones() connect.Transformation { return DropTombstones{} }

// Version is shown by GET /connector-plugins.
func (DropTombstones) Version() string { return "1.0" }

// ConfigDef declares no keys.
func (DropTombstones) ConfigDef() *connect.ConfigDef { return &connect.ConfigDef{} }

// Configure has nothing to read.
func (DropTombstones) Configure(map[string]string) error { return nil }

// Apply keeps the records that have a value.
func (DropTombstones) Apply(_ *connect.Arena, r *connect.Record) (keep bool, err error) {
	return !r.Value.IsNull(), nil
}
