//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
)

// A result is a printed line: the run whose CPU per record is the median, with the most
// memory of any run.
type result struct {
	Broker         string    `json:"broker"`
	Format         string    `json:"format"`
	Records        int       `json:"records"`
	RecordBytes    float64   `json:"record_bytes"`
	CPU            float64   `json:"cpu_us_per_record"`         // between first and last commit
	CPUWhole       float64   `json:"cpu_us_per_record_whole"`   // of the process, start and stop included
	PerSecond      float64   `json:"records_per_s"`             // between first and last commit
	PerSecondWhole float64   `json:"records_per_s_whole"`       // from the connector's creation to the last commit
	Allocs         float64   `json:"allocs_per_record"`         // of the process, between first and last commit
	AllocsPath     float64   `json:"allocs_per_record_path"`    // up to the Parquet writer
	AllocsWriter   float64   `json:"allocs_per_record_parquet"` // of the Parquet writer
	PeakRSS        float64   `json:"peak_rss_mb"`
	RowBytes       float64   `json:"bytes_per_row"`
	Commits        int       `json:"commits"`
	Files          int       `json:"files"`
	CPURuns        []float64 `json:"cpu_us_per_record_runs"`
	Load           []float64 `json:"load"` // of the machine when each run began
}

// Bars, on Kafka.
const (
	barCPU    = 1.5 // us
	barRSS    = 500 // MB
	barAllocs = 0.05
)

// missed tells which bars were not reached.
func (r *result) missed() error {
	if r.Broker != "kafka" {
		return nil
	}
	var errs []error
	for _, b := range []struct {
		what     string
		got, bar float64
	}{
		{"CPU us per record", r.CPU, barCPU},
		{"MB of peak RSS", r.PeakRSS, barRSS},
		{"allocations per record before the Parquet writer", r.AllocsPath, barAllocs},
	} {
		if b.got > b.bar {
			errs = append(errs, fmt.Errorf("%s: %g %s, the bar is %g", r.Format, b.got, b.what, b.bar))
		}
	}
	return errors.Join(errs...)
}

// measure makes all runs of a line.
func (s *settings) measure(ctx context.Context, u setup) (result, error) {
	out := result{Broker: u.kind, Format: u.topic.format.name, Records: u.topic.records, RecordBytes: round(float64(u.topic.bytes)/float64(u.topic.records), 1)}
	var all []measured
	for i := range s.runs {
		m, err := s.once(ctx, u, i, false)
		if err != nil {
			return out, fmt.Errorf("run %d: %w", i, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s %s run %d: %.3f us (%.3f whole, %.3f of it system), %.0f/s (%.0f whole), %.2f allocs, %.0f MB, %d commits, %.1f B/row, load %.1f\n",
			u.kind, u.topic.format.name, i, m.steady, m.whole, m.system, m.perSecond, m.perSecondWhole, m.allocs, float64(m.rss)/1e6, m.commits, m.bytesPerRow, m.load)
		all = append(all, m)
		out.PeakRSS = max(out.PeakRSS, round(float64(m.rss)/1e6, 1))
		out.CPURuns = append(out.CPURuns, round(m.steady, 3))
		out.Load = append(out.Load, m.load)
	}
	if s.count {
		counted, err := s.once(ctx, u, s.runs, true)
		if err != nil {
			return out, fmt.Errorf("run that counts allocations: %w", err)
		}
		out.AllocsPath, out.AllocsWriter = round(counted.path, 4), round(counted.writer, 3)
	}

	slices.SortFunc(all, func(a, b measured) int { return cmp.Compare(a.steady, b.steady) })
	m := all[len(all)/2]
	out.CPU, out.CPUWhole = round(m.steady, 3), round(m.whole, 3)
	out.PerSecond, out.PerSecondWhole = round(m.perSecond, 0), round(m.perSecondWhole, 0)
	out.Allocs, out.RowBytes = round(m.allocs, 3), round(m.bytesPerRow, 1)
	out.Commits, out.Files = m.commits, m.files
	return out, nil
}

func round(x float64, places int) float64 {
	scale := math.Pow(10, float64(places))
	return math.Round(x*scale) / scale
}
