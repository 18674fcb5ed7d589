//go:build unix

package parts

import (
	"context"
	_ "embed" // the pom and the server's source
	"maps"
	"os"
	"os/exec"
	"path/filepath"
)

var (
	//go:embed restcatalog/pom.xml
	restCatalogPOM []byte
	//go:embed restcatalog/RestCatalog.java
	restCatalogSource []byte
)

// RESTCatalog is Iceberg's REST fixture over a SQLite catalog.
type RESTCatalog struct {
	*Process
	URL string
}

// StartRESTCatalog installs and starts a catalog whose tables are in an S3 bucket.
func StartRESTCatalog(ctx context.Context, dir string, store *S3) (*RESTCatalog, error) {
	bin, err := java(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := jars(ctx, "restcatalog", restCatalogPOM)
	if err != nil {
		return nil, err
	}
	source, config := filepath.Join(dir, "RestCatalog.java"), filepath.Join(dir, "catalog.properties")
	if err := os.WriteFile(source, restCatalogSource, 0o644); err != nil {
		return nil, err
	}
	props := map[string]string{
		"uri":                 "jdbc:sqlite:" + filepath.Join(dir, "catalog.db"),
		"jdbc.schema-version": "V1",
		"warehouse":           "s3://" + store.Bucket + "/tables",
		"io-impl":             "org.apache.iceberg.aws.s3.S3FileIO",
	}
	maps.Copy(props, store.Properties())
	if err := writeProperties(config, props); err != nil {
		return nil, err
	}
	// A single source file is compiled by java itself, so this one needs a JDK. It
	// takes a port of its own and says which.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), bin, "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(lib, "*"), source, config, "0")
	cmd.Dir = dir
	p, err := Start("REST catalog", filepath.Join(dir, "restcatalog.log"), cmd)
	if err != nil {
		return nil, err
	}
	const announced = "listening on port "
	if err := p.Await(ctx, p.says(announced)); err != nil {
		return nil, err
	}
	port, err := p.said(announced)
	return &RESTCatalog{p, "http://127.0.0.1:" + port}, err
}
