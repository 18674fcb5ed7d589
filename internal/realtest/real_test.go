//go:build real && unix

package realtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// TestReal starts the servers once and plays every story on them, each with topics,
// groups and tables of its own.
func TestReal(t *testing.T) {
	s := start(t)
	for _, story := range []struct {
		name string
		play func(*stack, *testing.T)
	}{
		{"MainPath", (*stack).mainPath},
		{"Postgres", (*stack).postgres},
		{"SelfTest", (*stack).selfTest},
		{"WrongCredentials", (*stack).wrongCredentials},
		{"RegistryDown", (*stack).registryDown},
		{"StorageDown", (*stack).storageDown},
		{"BrokerDown", (*stack).brokerDown},
		{"JavaThereAndBack", (*stack).javaThereAndBack},
		{"JavaKilled", (*stack).javaKilled},
		{"JavaSettled", (*stack).javaSettled},
		{"JavaBeside", (*stack).javaBeside},
		{"MixedRolling", (*stack).mixedRolling},
		{"MixedLeaderKilled", (*stack).mixedLeaderKilled},
		{"Migrate", (*stack).migrate},
		{"Together", (*stack).together},
		{"Upserts", (*stack).upserts},
		{"Kills", (*stack).kills},
		{"StockClient", (*stack).stockClient},
		{"SideBySide", (*stack).sideBySide},
		{"SideBySideUsers", (*stack).sideBySideUsers},
		{"SecureGroup", (*stack).secureGroup},
		{"StaticMembers", (*stack).staticMembers},
		{"Kerberos", (*stack).kerberos},
	} {
		t.Run(story.name, func(t *testing.T) {
			began := time.Now()
			story.play(s, t)
			t.Logf("took %.1f s", time.Since(began).Seconds())
		})
	}
}

// A stack is everything a cluster stands on, and the binary under test.
type stack struct {
	dir      string
	firn     string
	kafka    *parts.Kafka
	client   *kafka.Config
	registry *parts.Apicurio
	s3       *parts.S3
	catalog  *parts.RESTCatalog
	readers  *parts.Readers
}

func start(t *testing.T) *stack {
	t.Helper()
	began := time.Now()
	s := &stack{dir: t.TempDir()}
	keepLogs(t, s.dir)

	var err error
	s.kafka, err = parts.NewKafka(t.Context(), s.folder(t, "kafka"), nil)
	have(t, err)
	s.readers, err = parts.NewReaders(t.Context(), s.folder(t, "readers"))
	have(t, err)
	s.buildFirn(t)
	have(t, s.kafka.Start(t.Context()))
	t.Cleanup(func() { stop(t, s.kafka.Process) })
	s.registry, err = parts.NewApicurio(t.Context(), s.folder(t, "registry"))
	have(t, err)
	have(t, s.registry.Start(t.Context()))
	t.Cleanup(func() { stop(t, s.registry.Process) })
	s.s3, err = parts.NewS3(t.Context(), s.folder(t, "s3"))
	have(t, err)
	have(t, s.s3.Start(t.Context()))
	t.Cleanup(func() { stop(t, s.s3.Process) })
	s.catalog, err = parts.StartRESTCatalog(t.Context(), s.folder(t, "catalog"), s.s3)
	have(t, err)
	t.Cleanup(func() { stop(t, s.catalog.Process) })

	s.client, err = kafka.NewConfig(map[string]string{"bootstrap.servers": s.kafka.Bootstrap}, nil)
	have(t, err)
	t.Logf("the servers run after %.1f s", time.Since(began).Seconds())
	return s
}

// have ends the test if a part is not there: loudly skipped on a developer's machine,
// a failure in CI.
func have(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, parts.ErrMissing) && os.Getenv("CI") != "true":
		t.Skipf("NOT CHECKED on real servers: %v", err)
	default:
		t.Fatal(err)
	}
}

func stop(t *testing.T, p *parts.Process) {
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// folder makes a folder below the stack's own.
func (s *stack) folder(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// buildFirn builds the program as users do.
func (s *stack) buildFirn(t *testing.T) {
	t.Helper()
	s.firn = filepath.Join(s.dir, "firn")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", s.firn, "github.com/firn-io/firn").CombinedOutput()
	if err != nil {
		t.Fatalf("build firn: %v\n%s", err, out)
	}
}

// keepLogs copies the logs below dir to a folder that outlives the test, if it fails.
func keepLogs(t *testing.T, dir string) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		kept, err := os.MkdirTemp("", "firn-real-logs-") //nolint:usetesting // it is what outlives the test
		if err == nil {
			err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() && d.Name() == "data" {
					return filepath.SkipDir // of the broker, whose segments are called logs too
				}
				if err != nil || d.IsDir() || !strings.HasSuffix(path, ".log") {
					return err
				}
				name, err := filepath.Rel(dir, path)
				if err != nil {
					return err
				}
				return copyFile(path, filepath.Join(kept, strings.ReplaceAll(name, string(filepath.Separator), "-")))
			})
		}
		t.Logf("logs of the servers and workers: %s (%v)", kept, err)
	})
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was only read
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// createTopic makes a topic of the stories' four partitions.
func (s *stack) createTopic(t *testing.T, name string) { s.createTopicOf(t, name, partitions) }

func (s *stack) createTopicOf(t *testing.T, name string, partitions int32) {
	t.Helper()
	admin, err := kafka.NewAdmin(s.client)
	if err != nil {
		t.Fatal(err)
	}
	err = admin.CreateTopic(t.Context(), kafka.TopicSpec{Name: name, Partitions: partitions, ReplicationFactor: 1})
	if err := errors.Join(err, admin.Close()); err != nil {
		t.Fatal(err)
	}
}

// controlTopic makes the control topic of a connector that Java runs first, and has Java's
// coordinator begin at its start. Without an offset it begins at the end: when a rebalance
// comes before its first commit, the next one misses what was announced, and Java loses
// those rows.
func (s *stack) controlTopic(t *testing.T, name, connector string) {
	t.Helper()
	s.createTopicOf(t, name, 1)
	admin, err := kafka.NewAdmin(s.client)
	if err != nil {
		t.Fatal(err)
	}
	err = admin.AlterGroupOffsets(t.Context(), "connect-"+connector+"-coord", map[connect.TopicPartition]int64{{Topic: name}: 0})
	if err := errors.Join(err, admin.Close()); err != nil {
		t.Fatal(err)
	}
}

// register registers a schema under a topic's value and returns its id.
func (s *stack) register(ctx context.Context, topic, schema string) (int32, error) {
	var answer struct {
		ID int32 `json:"id"`
	}
	err := call(ctx, http.MethodPost, s.registry.URL+"/subjects/"+topic+"-value/versions", map[string]string{"schema": schema}, &answer)
	if err != nil {
		return 0, fmt.Errorf("register the schema of %s: %w", topic, err)
	}
	return answer.ID, nil
}

// restCatalog is how the sink, or with another prefix a reader, is told where the
// catalog and the storage are.
func (s *stack) restCatalog(prefix string) map[string]string {
	return prefixed(prefix, s.s3.Properties(), map[string]string{
		"type": "rest", "uri": s.catalog.URL, "warehouse": "s3://" + s.s3.Bucket + "/tables",
	})
}

func prefixed(prefix string, sets ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, set := range sets {
		for k, v := range set {
			all[prefix+k] = v
		}
	}
	return all
}

func merged(sets ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return all
}
