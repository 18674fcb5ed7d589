// Package flights is the data of the demo, carried in the binary: all departures
// from New York in 2013 and the weather there, and the two connector configs that
// bring them into Iceberg tables. README.md says where the data comes from.
//
// It gives rows as text and nothing else; package cli/demo makes records of them.
package flights

import (
	"bufio"
	"bytes"
	_ "embed" // the data below
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// The truth about the data: what the tables must hold.
const (
	FlightRows  = 336_776
	DistanceSum = 350_217_607 // of column distance, over all flights
	WeatherRows = 26_115
)

// Null is how the files write a missing value.
const Null = "NA"

// FlightSchema is the Avro schema of a flight: its fields are the columns of
// flights.csv, in order.
//
//go:embed flights.avsc
var FlightSchema string

// FlightsConnector and WeatherConnector are bodies of POST /connectors. They hold
// references of the form ${local:…} to the stack they run on.
var (
	//go:embed flights.json
	FlightsConnector string
	//go:embed weather.json
	WeatherConnector string
)

var (
	//go:embed flights.csv.zst
	flightsCSV []byte
	//go:embed weather.csv.zst
	weatherCSV []byte
)

// Flights calls row with each line of flights.csv, cut into fields that are valid
// until it returns. The first error of row ends it.
func Flights(row func(fields []string) error) error { return read("flights", flightsCSV, row) }

// Weather does the same with weather.csv.
func Weather(row func(fields []string) error) error { return read("weather", weatherCSV, row) }

// WeatherColumns are the names of the columns of weather.csv.
func WeatherColumns() []string {
	return strings.Split("origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour", ",")
}

// read splits at every comma: no field of these files is quoted.
func read(name string, packed []byte, row func([]string) error) error {
	zr, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("open %s.csv.zst: %w", name, err)
	}
	defer zr.Close()
	lines := bufio.NewScanner(zr)
	lines.Scan() // the header
	for lines.Scan() {
		if err := row(strings.Split(lines.Text(), ",")); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s.csv.zst: %w", name, err)
	}
	return nil
}
