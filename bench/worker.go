//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/firn-io/firn/cli"
)

// countEnv makes a worker sample allocations by where they are made: 1 counts every one,
// which makes it slow, so that it is a run of its own.
const countEnv = "FIRN_BENCH_COUNT"

// countAll is the rate of sampling that counts every allocation.
const countAll = 1

// beWorker is the process that is measured: exactly `firn distributed`, and a listener
// that tells counters of the runtime. It does not return.
func beWorker(args []string) {
	// As in the firn binary, where nothing reads the profile and the linker turns it off.
	runtime.MemProfileRate = 0
	if rate, err := strconv.Atoi(os.Getenv(countEnv)); err == nil {
		runtime.MemProfileRate = rate
	}
	if err := serveCounters(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "bench: counters:", err)
		os.Exit(1)
	}
	os.Args = append([]string{"firn", "distributed"}, args[1:]...)
	cli.Main(cli.Builtin())
}

// allocations are numbers of objects since the process began. Path and Writer are 0
// unless countEnv is set.
type allocations struct {
	All    uint64 // from the runtime's own counter
	Path   uint64 // of fetching, converting and the task, up to the Parquet writer
	Writer uint64 // of the Parquet writer
}

// serveCounters listens on addr for as long as the process.
func serveCounters(addr string) error {
	ln, err := net.Listen("tcp", addr) //nolint:noctx // binding does not wait
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /allocations", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(allocated()) // a client that is gone has no use for it
	})
	go func() { _ = http.Serve(ln, mux) }() //nolint:gosec // one client, ours
	return nil
}

func allocated() (a allocations) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	a.All = sample[0].Value.Uint64()
	if runtime.MemProfileRate != countAll {
		return a // also while a profile is taken, which the collections would distort
	}
	runtime.GC() // the profile is that of the last cycle but one
	runtime.GC()
	n, _ := runtime.MemProfile(nil, true)
	records := make([]runtime.MemProfileRecord, n+1000)
	if n, ok := runtime.MemProfile(records, true); ok {
		for _, r := range records[:n] {
			switch placeOf(r.Stack()) {
			case inWriter:
				a.Writer += uint64(r.AllocObjects)
			case onPath:
				a.Path += uint64(r.AllocObjects)
			case elsewhere:
			}
		}
	}
	return a
}

// A place is a part of the worker.
type place int

const (
	elsewhere place = iota // commits, the group, REST
	onPath
	inWriter
)

// placeOf tells by its callers where an allocation is made. The path of a record is the
// fetcher's goroutine and the task's.
func placeOf(stack []uintptr) place {
	const module = "github.com/firn-io/firn/"
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "github.com/apache/arrow-go/"), strings.HasPrefix(f.Function, module+"connectors/iceberg/pages."):
			return inWriter
		case strings.HasPrefix(f.Function, module+"worker/sink.(*loop).step"), strings.HasPrefix(f.Function, module+"internal/kafka.(*Fetcher)"),
			strings.HasPrefix(f.Function, "github.com/IBM/sarama.(*FetchResponse)"):
			return onPath
		}
		if !more {
			return elsewhere
		}
	}
}
