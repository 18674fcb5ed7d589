package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/firn-io/firn/internal/kafka"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("FIRN_TEST_HOLD"); dir != "" {
		hold(dir)
		return
	}
	// sarama's metrics keep one ticker for the process.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// hold is the other process of TestDirectoryInUse: it says "held" and stays until
// its standard input ends.
func hold(dir string) {
	d, err := openDir(dir)
	if err != nil {
		panic(err)
	}
	fmt.Print("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = d.close()
}

func config(t *testing.T) Config {
	return Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
}

func request(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s, %v", method, url, resp.StatusCode, text, err)
	}
	return strings.TrimSpace(string(text))
}

// TestRestartKeepsSchemasAndRecords goes through the real topic, twice.
func TestRestartKeepsSchemasAndRecords(t *testing.T) {
	cfg := config(t)
	for run, want := range []string{`{"id":1}`, `{"id":2}`} {
		err := Run(t.Context(), cfg, func(ctx context.Context, st *Stack) error {
			body, _ := json.Marshal(map[string]string{"schema": []string{`"int"`, `"string"`}[run]})
			if got := request(t, "POST", st.RegistryURL+"/subjects/s"+want[6:7]+"/versions", string(body)); got != want {
				t.Errorf("run %d: got %s, want %s", run, got, want)
			}
			client, err := kafka.NewConfig(map[string]string{"bootstrap.servers": st.Bootstrap}, nil)
			if err != nil {
				return err
			}
			producer, err := kafka.NewProducer(client)
			if err != nil {
				return err
			}
			d, err := producer.Send(ctx, kafka.Message{Topic: schemasTopic, Key: []byte(`{"keytype":"NOOP","magic":0}`), Value: []byte("null")})
			if err != nil {
				return errors.Join(err, producer.Close())
			}
			offset, err := d.Wait(ctx)
			if want := int64(1 + 2*run); offset != want || err != nil {
				t.Errorf("run %d: the record after the schema is at %d, %v; want %d", run, offset, err, want)
			}
			return producer.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestUseErrorStopsTheStack(t *testing.T) {
	boom := errors.New("boom")
	cfg := config(t)
	var url string
	err := Run(t.Context(), cfg, func(_ context.Context, st *Stack) error {
		url = st.RegistryURL
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("Run: got %v, want boom", err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("the registry still answers after Run has returned")
	}
}

func TestDirectoryInUse(t *testing.T) {
	cfg := config(t)
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), "FIRN_TEST_HOLD="+cfg.Dir)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("held"))); err != nil {
		t.Fatal(err)
	}
	use := func(context.Context, *Stack) error { return nil }
	want := "the directory " + cfg.Dir + " is in use by another process"
	if err := Run(t.Context(), cfg, use); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("while held: got %v, want %s", err, want)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), cfg, use); err != nil {
		t.Errorf("after it was given up: %v", err)
	}
}

func TestTakenPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // it serves nobody
	for what, set := range map[string]func(*Config){
		"Kafka broker":    func(c *Config) { c.Kafka = ln.Addr().String() },
		"schema registry": func(c *Config) { c.Registry = ln.Addr().String() },
	} {
		cfg := config(t)
		set(&cfg)
		err := Run(t.Context(), cfg, func(context.Context, *Stack) error { return nil })
		want := "the " + what + " cannot listen on " + ln.Addr().String() + ": the port is taken"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestExpand(t *testing.T) {
	st := &Stack{Dir: "/d", Bootstrap: "b:1", RegistryURL: "http://r", CatalogURI: "sqlite:////d/catalog.db", Warehouse: "file:///d/warehouse"}
	got := st.Expand("${local:dir} ${local:bootstrap} ${local:registry} ${local:catalog} ${local:warehouse} ${env:HOME} ${local:x}")
	want := "/d b:1 http://r sqlite:////d/catalog.db file:///d/warehouse ${env:HOME} ${local:x}"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFileURL(t *testing.T) {
	for path, want := range map[string]string{"/a b/w": "file:///a%20b/w", "/a": "file:///a", "C:/w": "file:///C:/w"} {
		if got := fileURL(path); got != want {
			t.Errorf("fileURL(%s): got %s, want %s", path, got, want)
		}
	}
}
