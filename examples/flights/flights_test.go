package flights

import (
	"errors"
	"strconv"
	"testing"

	"github.com/hamba/avro/v2"
)

// TestTruth counts the data itself, so that the constants can be trusted.
func TestTruth(t *testing.T) {
	rows, sum := 0, 0
	schema, ok := avro.MustParse(FlightSchema).(*avro.RecordSchema)
	if !ok {
		t.Fatal("flights.avsc is no record")
	}
	err := Flights(func(f []string) error {
		if len(f) != len(schema.Fields()) {
			t.Fatalf("row %d has %d fields, the schema %d: %q", rows, len(f), len(schema.Fields()), f)
		}
		distance, err := strconv.Atoi(f[15])
		rows, sum = rows+1, sum+distance
		return err
	})
	if err != nil || rows != FlightRows || sum != DistanceSum {
		t.Errorf("flights: got %d rows, sum(distance) %d, %v; want %d, %d", rows, sum, err, FlightRows, DistanceSum)
	}
	rows = 0
	err = Weather(func(f []string) error {
		if len(f) != len(WeatherColumns()) {
			t.Fatalf("row %d has %d fields, want %d: %q", rows, len(f), len(WeatherColumns()), f)
		}
		rows++
		return nil
	})
	if err != nil || rows != WeatherRows {
		t.Errorf("weather: got %d rows, %v; want %d", rows, err, WeatherRows)
	}
}

func TestFirstErrorEnds(t *testing.T) {
	boom, calls := errors.New("boom"), 0
	err := Weather(func([]string) error { calls++; return boom })
	if !errors.Is(err, boom) || calls != 1 {
		t.Errorf("got %v after %d calls, want boom after 1", err, calls)
	}
}
