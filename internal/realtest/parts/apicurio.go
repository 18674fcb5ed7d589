//go:build unix

package parts

import (
	"context"
	_ "embed" // the pom
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

//go:embed apicurio/pom.xml
var apicurioPOM []byte

// Apicurio is a schema registry that keeps its schemas in a file database.
type Apicurio struct {
	*Process
	URL string // of its Confluent API

	dir, java, app string
	port           int
}

// NewApicurio installs a registry, without starting it.
func NewApicurio(ctx context.Context, dir string) (*Apicurio, error) {
	bin, err := java(ctx)
	if err != nil {
		return nil, err
	}
	packed, err := jars(ctx, "apicurio", apicurioPOM)
	if err != nil {
		return nil, err
	}
	app, err := install("apicurio-app", apicurioPOM, func(app string) error {
		archives, err := filepath.Glob(filepath.Join(packed, "*.tar.gz"))
		if err != nil || len(archives) != 1 {
			return fmt.Errorf("%d archives in %s, want 1", len(archives), packed)
		}
		tar, err := tool("tar")
		if err != nil {
			return err
		}
		_, err = run(ctx, app, nil, tar, "-xzf", archives[0])
		return err
	})
	if err != nil {
		return nil, err
	}
	port, err := FreePort(ctx)
	if err != nil {
		return nil, err
	}
	return &Apicurio{URL: "http://" + address(port) + "/apis/ccompat/v7", dir: dir, java: bin, app: app, port: port}, nil
}

// Start starts the registry, again after Kill or Stop, and waits until it listens.
func (a *Apicurio) Start(ctx context.Context) error {
	runners, err := filepath.Glob(filepath.Join(a.app, "*-runner.jar"))
	if err != nil || len(runners) != 1 {
		return fmt.Errorf("%d runners in %s, want 1", len(runners), a.app)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), a.java,
		"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port="+strconv.Itoa(a.port), "-Dquarkus.log.level=INFO",
		"-Dregistry.datasource.url=jdbc:h2:file:"+filepath.Join(a.dir, "registry"),
		"-Dquarkus.datasource.jdbc.url=jdbc:h2:file:"+filepath.Join(a.dir, "registry"),
		"-jar", runners[0])
	cmd.Dir = a.dir
	// A log for each start: its last line is what proves that this start listens.
	a.Process, err = Start("apicurio", filepath.Join(a.dir, fmt.Sprintf("apicurio-%d.log", a.starts())), cmd)
	if err != nil {
		return err
	}
	return a.Await(ctx, a.says("Listening on: "))
}

func (a *Apicurio) starts() int {
	logs, _ := filepath.Glob(filepath.Join(a.dir, "apicurio-*.log")) // the pattern is right
	return len(logs) + 1
}
