package connecttest

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
)

// maxHostileBytes is what one record of a few bytes may make a converter allocate.
const maxHostileBytes = 8 << 20

// Converter checks what every converter promises, on the samples: the data of records
// that newConverter's converters can read. newConverter returns a configured one.
func Converter(t *testing.T, newConverter func(t *testing.T) connect.Converter, samples ...[]byte) {
	t.Helper()
	t.Run("config", func(t *testing.T) { converterConfig(t, newConverter(t)) })
	t.Run("null", func(t *testing.T) { converterNull(t, newConverter(t)) })
	t.Run("arena", func(t *testing.T) { converterArena(t, newConverter(t), samples) })
	t.Run("schema", func(t *testing.T) { converterSchema(t, newConverter(t), samples) })
	t.Run("hostile", func(t *testing.T) { converterHostile(t, newConverter(t), samples) })
}

func converterConfig(t *testing.T, c connect.Converter) {
	if c.Version() == "" {
		t.Error("Version() is empty")
	}
	def := c.ConfigDef()
	if def == nil {
		t.Fatal("ConfigDef() is nil")
	}
	seen := map[string]bool{}
	for _, k := range def.Keys {
		if seen[k.Name] || k.Name == "" || k.Doc == "" || k.Type == "" || k.Importance == "" {
			t.Errorf("key %+v is given twice or lacks a name, type, importance or doc", k)
		}
		seen[k.Name] = true
		if k.Check != nil && k.Default != nil && k.Check(*k.Default) != nil {
			t.Errorf("key %s refuses its own default %q: %v", k.Name, *k.Default, k.Check(*k.Default))
		}
	}
}

func converterNull(t *testing.T, c connect.Converter) {
	var arena connect.Arena
	_, v, err := c.ToConnect(t.Context(), &arena, "topic", nil)
	if err != nil || !v.IsNull() {
		t.Errorf("null data: got %s, %v, want null", Render(v), err)
	}
}

// converterArena reads all samples into one arena, so that a value which is overwritten
// by the next record shows, and again after a Reset.
func converterArena(t *testing.T, c connect.Converter, samples [][]byte) {
	var arena connect.Arena
	var first []string
	for round := range 3 {
		values := make([]connect.Value, len(samples))
		for i, data := range samples {
			own := bytes.Clone(data) // as the fetched batch: lives as long as the values
			_, v, err := c.ToConnect(t.Context(), &arena, "topic", own)
			if err != nil {
				t.Fatalf("sample %d (% .40x): %v", i, data, err)
			}
			if !bytes.Equal(own, data) {
				t.Errorf("sample %d: the converter changed its data to % .40x", i, own)
			}
			values[i] = v
			if round == 0 {
				first = append(first, Render(v))
			}
		}
		for i, v := range values {
			if got := Render(v); got != first[i] {
				t.Errorf("round %d, sample %d: got %s after the other samples, want %s", round, i, got, first[i])
			}
		}
		arena.Reset()
	}
}

// converterSchema wants the same *Schema for the same schema.
func converterSchema(t *testing.T, c connect.Converter, samples [][]byte) {
	var arena connect.Arena
	seen := make([]*connect.Schema, len(samples))
	for round := range 2 {
		for i, data := range samples {
			schema, v, err := c.ToConnect(t.Context(), &arena, "topic", data)
			if err != nil {
				t.Fatalf("sample %d: %v", i, err)
			}
			if round == 1 && schema != seen[i] {
				t.Errorf("sample %d: the schema is another one the second time", i)
			}
			seen[i] = schema
			if schema != nil && !v.IsNull() && v.Kind() != schema.Type.Kind() {
				t.Errorf("sample %d: a value of kind %s under a schema of type %s", i, v.Kind(), schema.Type)
			}
		}
	}
}

// converterHostile reads samples that are cut off or have bytes changed. Anything may
// come out but a panic, a change of the data, an error of many lines, or much memory.
func converterHostile(t *testing.T, c connect.Converter, samples [][]byte) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same bytes in every run
	try := func(data []byte) {
		var arena connect.Arena
		var before, after runtime.MemStats
		own := bytes.Clone(data)
		runtime.ReadMemStats(&before)
		_, v, err := c.ToConnect(t.Context(), &arena, "topic", own)
		runtime.ReadMemStats(&after)
		switch {
		case !bytes.Equal(own, data):
			t.Errorf("data % x was changed to % x", data, own)
		case after.TotalAlloc-before.TotalAlloc > maxHostileBytes:
			t.Errorf("data % x (%d bytes) made the converter allocate %d bytes", data, len(data), after.TotalAlloc-before.TotalAlloc)
		case err != nil && (err.Error() == "" || strings.ContainsAny(err.Error(), "\r\n")):
			t.Errorf("data % x: the error is not one line: %q", data, err)
		case err == nil:
			Render(v) // reaches every part: what is not valid memory ends the test
		}
	}
	try([]byte{})
	for _, data := range samples {
		for n := range min(len(data), 300) {
			try(data[:n])
		}
		for range 300 {
			bad := bytes.Clone(data)
			for range 1 + random.IntN(3) {
				if len(bad) > 0 {
					bad[random.IntN(len(bad))] = byte(random.Uint32())
				}
			}
			try(bad)
		}
	}
}

// BenchmarkConverter measures the conversion of one record's data, in batches of 500.
func BenchmarkConverter(b *testing.B, c connect.Converter, data []byte) {
	var arena connect.Arena
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for i := 0; b.Loop(); i++ {
		if i%500 == 0 {
			arena.Reset()
		}
		if _, _, err := c.ToConnect(b.Context(), &arena, "topic", data); err != nil {
			b.Fatal(err)
		}
	}
}
