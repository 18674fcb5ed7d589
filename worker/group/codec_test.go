package group

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// golden reads "name | rest" lines; # begins a comment.
func golden(t testing.TB, file string) (names []string, rest map[string]string) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	rest = make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " | ")
		if !ok {
			t.Fatalf("%s: no | in %q", file, line)
		}
		names = append(names, name)
		rest[name] = value
	}
	return names, rest
}

const goldenURL = "http://h1:8083/"

func goldenAssignment(version int16) Assignment {
	return Assignment{
		Version: version, Leader: "m1", LeaderURL: goldenURL, ConfigOffset: 7,
		Work:    Work{Connectors: []string{"c1"}, Tasks: []TaskID{{"c1", 0}, {"c2", 1}}},
		Revoked: Work{Tasks: []TaskID{{"c2", 0}}}, Delay: 300 * time.Second,
	}
}

func TestGoldenBytes(t *testing.T) {
	v1, v2 := goldenAssignment(1), goldenAssignment(2)
	v0 := goldenAssignment(0)
	v0.Revoked, v0.Delay = Work{}, 0
	assignments := map[string]Assignment{
		"assign V2": v2, "assign V1 same": v1, "assign V0": v0,
		"assign V0 err": {Error: ConfigMismatch, Leader: "m1", LeaderURL: goldenURL, ConfigOffset: 9},
	}
	metadata := map[string]Metadata{
		"meta V0":                 {Version: 0, URL: goldenURL, ConfigOffset: 7},
		"meta V1 no alloc":        {Version: 1, URL: goldenURL, ConfigOffset: 7},
		"meta V2 empty alloc":     {Version: 2, URL: goldenURL, ConfigOffset: 7},
		"meta V2 with that alloc": {Version: 2, URL: goldenURL, ConfigOffset: 7, Allocation: &v2},
		"meta V1 with that alloc": {Version: 1, URL: goldenURL, ConfigOffset: 7, Allocation: &v1},
	}
	names, want := golden(t, "protocol.txt")
	for _, name := range names {
		var got []byte
		var err error
		wire, _ := hex.DecodeString(want[name])
		var decoded, value any
		if a, ok := assignments[name]; ok {
			got, err = a.Encode()
			value = &a
			decoded, _ = DecodeAssignment(wire)
		} else if m, ok := metadata[name]; ok {
			got, err = m.Encode()
			value = &m
			decoded, _ = DecodeMetadata(wire)
		} else {
			t.Fatalf("no value for %q", name)
		}
		if err != nil || !bytes.Equal(got, wire) {
			t.Errorf("%s: encoded %x, %v; want %s", name, got, err, want[name])
		}
		if !reflect.DeepEqual(decoded, value) {
			t.Errorf("%s: decoded %+v, want %+v", name, decoded, value)
		}
	}
}

func TestMetadataTakesItsOwnVersionForTheAllocation(t *testing.T) {
	a := goldenAssignment(2)
	m := Metadata{Version: 1, URL: goldenURL, ConfigOffset: 7, Allocation: &a}
	got, err := m.Encode()
	_, want := golden(t, "protocol.txt")
	if hex.EncodeToString(got) != want["meta V1 with that alloc"] || err != nil {
		t.Errorf("encoded %x, %v", got, err)
	}
}

func TestDecodeBadBytes(t *testing.T) {
	tests := []struct{ name, hex, want string }{
		{"nothing", "", "ends too early"},
		{"a negative version", "ffff", "is negative"},
		{"a null string", "00020000ffff", "ends too early"},
		{"more entries than bytes", "0000000000000000" + "0000000000000007" + "7fffffff", "ends too early"},
		{"more tasks than bytes", "0000000000000000" + "0000000000000007" + "00000001" + "000163" + "7fffffff", "ends too early"},
	}
	for _, tt := range tests {
		b, _ := hex.DecodeString(tt.hex)
		if a, err := DecodeAssignment(b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: DecodeAssignment(%s) = %+v, %v; want an error with %q", tt.name, tt.hex, a, err, tt.want)
		}
	}
}

// Java's readers take fields that are missing at the end for empty.
func TestDecodeToleratesMissingEnd(t *testing.T) {
	_, want := golden(t, "protocol.txt")
	b, _ := hex.DecodeString("0002" + want["assign V0"][4:]) // version 2 without revoked and delay
	a, err := DecodeAssignment(b)
	if err != nil || len(a.Work.Tasks) != 2 || !a.Revoked.Empty() || a.Delay != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
	m, err := DecodeMetadata([]byte("\x00\x02\x00\x01u\x00\x00\x00\x00\x00\x00\x00\x05"))
	if err != nil || m.Allocation != nil || m.ConfigOffset != 5 {
		t.Errorf("metadata without allocation: %+v, %v", m, err)
	}
}

func TestEncodeRefusesLongNames(t *testing.T) {
	a := Assignment{Work: Work{Connectors: []string{strings.Repeat("x", 1<<15)}}}
	if _, err := a.Encode(); err == nil {
		t.Error("a name of 32768 bytes was encoded")
	}
}

func FuzzDecode(f *testing.F) {
	_, lines := golden(f, "protocol.txt")
	for _, line := range lines {
		b, _ := hex.DecodeString(line)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := DecodeAssignment(b); err == nil {
			roundTrip(t, a, DecodeAssignment)
		}
		if m, err := DecodeMetadata(b); err == nil && (m.Allocation == nil || m.Allocation.Version == m.Version) {
			roundTrip(t, m, DecodeMetadata)
		}
	})
}

// roundTrip encodes what was decoded: the second encoding must equal the first, whatever
// order the entries first came in.
func roundTrip[T interface{ Encode() ([]byte, error) }](t *testing.T, v T, decode func([]byte) (T, error)) {
	t.Helper()
	first, err := v.Encode()
	if err != nil {
		t.Fatalf("encode %+v: %v", v, err)
	}
	again, err := decode(first)
	if err != nil {
		t.Fatalf("decode %x of %+v: %v", first, v, err)
	}
	if second, err := again.Encode(); err != nil || !bytes.Equal(first, second) {
		t.Fatalf("encoded %x, then %x, %v", first, second, err)
	}
}
