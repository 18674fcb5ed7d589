//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
)

// A setup is what the runs of one line have in common.
type setup struct {
	kind, bootstrap, schemas string
	topic                    topic
}

// A run is one worker process's life.
type run struct {
	*settings
	setup
	id       string
	dir      string
	rest     string // address
	counters string // address
	counting bool

	cpu    series // seconds
	allocs series // objects
}

// measured is what one run gave.
type measured struct {
	steady, whole, system     float64 // CPU us per record; system is a part of whole
	perSecond, perSecondWhole float64
	allocs, path, writer      float64 // allocations per record
	rss                       int64
	commits, files            int
	bytesPerRow               float64
	load                      float64
}

const patience = 5 * time.Minute // of a run

// once runs the worker until the table has every record, and then ends it.
func (s *settings) once(ctx context.Context, u setup, number int, counting bool) (m measured, err error) {
	r := &run{settings: s, setup: u, id: fmt.Sprintf("%s-%d-%d", u.topic.name, number, time.Now().Unix()), counting: counting}
	r.dir = filepath.Join(s.dir, u.kind+"-"+r.id)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w (see %s)", err, r.dir)
		} else if !s.keep {
			err = os.RemoveAll(r.dir)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	file, err := r.workerFile(ctx)
	if err != nil {
		return m, err
	}
	cmd, err := self(ctx, roleWorker, r.counters, file)
	if err != nil {
		return m, err
	}
	log, err := os.Create(filepath.Join(r.dir, "worker.log"))
	if err != nil {
		return m, err
	}
	defer log.Close() //nolint:errcheck // the worker has its own handle
	cmd.Stdout, cmd.Stderr = log, log
	switch {
	case counting:
		cmd.Env = append(os.Environ(), countEnv+"=1")
	case s.profile != "":
		cmd.Env = append(os.Environ(), countEnv+"=65536")
	}
	m.load = loadAverage()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	if err := r.drive(ctx, cmd, &m); err != nil {
		return m, errors.Join(err, end(cmd))
	}
	if m.rss, err = peakRSS(cmd.Process.Pid); err != nil {
		return m, errors.Join(err, end(cmd))
	}
	if err := end(cmd); err != nil {
		return m, err
	}
	m.system = cmd.ProcessState.SystemTime().Seconds() * 1e6 / float64(u.topic.records)
	m.whole = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() * 1e6 / float64(u.topic.records)
	return m, nil
}

// drive creates the connector, follows the table and takes the figures.
func (r *run) drive(ctx context.Context, cmd *exec.Cmd, m *measured) error {
	worker := &connectapi.Client{Base: "http://" + r.rest, Name: "the worker"}
	if err := worker.AwaitReady(ctx); err != nil {
		return err
	}
	before, err := r.allocated(ctx)
	if err != nil {
		return err
	}
	sctx, stop := context.WithCancel(ctx)
	sampled := make(chan error, 1)
	go func() { sampled <- r.sample(sctx, cmd.Process.Pid) }()
	profiled := make(chan error, 1)
	go func() { profiled <- r.profileCPU(sctx) }()

	begin := time.Now()
	commits, err := r.awaitTable(ctx, worker)
	pause(ctx, 3*sampleEvery)
	stop()
	if err = errors.Join(err, <-sampled, <-profiled); err != nil {
		return err
	}
	n := float64(r.topic.records)
	m.perSecondWhole = n / commits.last.Sub(begin).Seconds()
	m.commits, m.files, m.bytesPerRow = commits.count, commits.files, float64(commits.bytes)/n
	if rest := float64(commits.recordsAfterFirst); rest > 0 {
		m.perSecond = rest / commits.last.Sub(commits.first).Seconds()
		m.steady = (r.cpu.at(commits.last) - r.cpu.at(commits.first)) * 1e6 / rest
		m.allocs = (r.allocs.at(commits.last) - r.allocs.at(commits.first)) / rest
	}
	if r.counting {
		after, err := r.allocated(ctx)
		if err != nil {
			return err
		}
		m.path = float64(after.Path-before.Path) / n
		m.writer = float64(after.Writer-before.Writer) / n
	}
	if r.profile == "" {
		return nil
	}
	return r.download(ctx, "allocs", "allocs")
}

// sample follows the process until ctx ends.
func (r *run) sample(ctx context.Context, pid int) error {
	for i := 0; ; i++ {
		cpu, err := cpuOf(pid)
		if err != nil {
			return err
		}
		r.cpu.add(cpu.Seconds())
		if i%4 == 0 && !r.counting { // counting stops the world to collect
			a, err := r.allocated(ctx)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end
			}
			if err != nil {
				return err
			}
			r.allocs.add(float64(a.All))
		}
		if !pause(ctx, sampleEvery) {
			return nil
		}
	}
}

const sampleEvery = 25 * time.Millisecond

func pause(ctx context.Context, d time.Duration) bool { return connectapi.Pause(ctx, d) }

func (r *run) allocated(ctx context.Context) (a allocations, err error) {
	c := connectapi.Client{Base: "http://" + r.counters, Name: "the worker's counters"}
	err = c.Call(ctx, http.MethodGet, "/allocations", nil, &a)
	return a, err
}

// profileSeconds is less than a run takes.
const profileSeconds = 2

// profileCPU writes a profile of the worker's first seconds, if one is wanted.
func (r *run) profileCPU(ctx context.Context) error {
	if r.profile == "" || r.counting {
		return nil
	}
	return r.download(context.WithoutCancel(ctx), fmt.Sprintf("profile?seconds=%d", profileSeconds), "cpu")
}

func (r *run) download(ctx context.Context, what, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.counters+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.profile, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.profile, r.kind+"-"+r.id+"-"+name+".pprof"), b, 0o644)
}

// workerFile writes worker.properties and returns its path.
func (r *run) workerFile(ctx context.Context) (string, error) {
	for _, addr := range []*string{&r.rest, &r.counters} {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		*addr = ln.Addr().String()
		if err := ln.Close(); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	for _, kv := range [][2]string{
		{"bootstrap.servers", r.bootstrap},
		{"group.id", "worker-" + r.id},
		{"listeners", "http://" + r.rest},
		{"key.converter", "org.apache.kafka.connect.storage.StringConverter"},
		{"value.converter", "org.apache.kafka.connect.storage.StringConverter"},
		{"config.storage.topic", "configs-" + r.id},
		{"offset.storage.topic", "offsets-" + r.id},
		{"status.storage.topic", "status-" + r.id},
		{"config.storage.replication.factor", "1"},
		{"offset.storage.replication.factor", "1"},
		{"status.storage.replication.factor", "1"},
		{"offset.storage.partitions", "1"},
		{"status.storage.partitions", "1"},
	} {
		fmt.Fprintf(&b, "%s=%s\n", kv[0], kv[1])
	}
	path := filepath.Join(r.dir, "worker.properties")
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}

// commitEvery is the commit interval in milliseconds: longer where counting makes the
// worker so much slower.
func (r *run) commitEvery() int {
	if r.counting {
		return 8 * r.interval
	}
	return r.interval
}

// catalogProps are the keys of the connector's catalog, without their prefix.
func (r *run) catalogProps() map[string]string {
	return map[string]string{
		"type":      "sql",
		"uri":       "sqlite:///" + filepath.Join(r.dir, "catalog.db"),
		"warehouse": "file://" + filepath.Join(r.dir, "warehouse"),
	}
}

func (r *run) connector() connectapi.Connector {
	c := map[string]string{
		"connector.class":                     "org.apache.iceberg.connect.IcebergSinkConnector",
		"tasks.max":                           "2",
		"topics":                              r.topic.name,
		"consumer.override.auto.offset.reset": "earliest",
		"value.converter.schema.registry.url": r.schemas,
		"iceberg.tables":                      tableName,
		"iceberg.tables.auto-create-enabled":  "true",
		"iceberg.control.topic":               "control-" + r.id,
		"iceberg.control.commit.interval-ms":  strconv.Itoa(r.commitEvery()),
	}
	maps.Copy(c, r.topic.format.converter)
	for k, v := range r.catalogProps() {
		c["iceberg.catalog."+k] = v
	}
	maps.Copy(c, r.props)
	return connectapi.Connector{Name: r.id, Config: c}
}
