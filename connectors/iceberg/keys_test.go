package iceberg

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
)

// TestKeysOfJava compares the first keys with those that GET
// /connector-plugins/IcebergSink/config showed of the Iceberg sink 1.12 on Kafka Connect
// 4.3.1 (testdata/keys.jsonl, one key a line). Ours come after them.
func TestKeysOfJava(t *testing.T) {
	data, err := os.ReadFile("testdata/keys.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	keys := configDef().Keys
	for i, line := range lines {
		var want connect.KeyInfo
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		got := *keys[i].Info()
		if got.Name == "iceberg.control.commit.threads" {
			want.DefaultValue = got.DefaultValue // it depends on the machine
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("key %d: got %+v, want %+v", i, got, want)
		}
	}
	seen := make(map[string]bool)
	for i, k := range keys {
		if seen[k.Name] {
			t.Errorf("%s is declared twice", k.Name)
		}
		seen[k.Name] = true
		if i >= len(lines) && (k.Doc == "" || !strings.HasPrefix(k.Name, "iceberg.")) {
			t.Errorf("%s: every key of ours has a text and begins with iceberg.", k.Name)
		}
	}
}

// TestKeysAreDocumented sees that the table of properties has every key.
func TestKeysAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/COMPATIBILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range configDef().Keys {
		names = append(names, k.Name)
	}
	for _, p := range prefixes {
		names = append(names, p+"*")
	}
	for _, s := range tableSuffixes {
		names = append(names, tablePrefix+"NAME"+s)
	}
	for _, name := range names {
		if !strings.Contains(string(data), "`"+name+"`") {
			t.Errorf("docs/COMPATIBILITY.md does not say what becomes of %s", name)
		}
	}
}
