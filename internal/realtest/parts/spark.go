//go:build unix

package parts

import (
	"bytes"
	"context"
	_ "embed" // the pom and the program's source
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var (
	//go:embed spark/pom.xml
	sparkPOM []byte
	//go:embed spark/Query.java
	sparkSource []byte
)

// Spark reads tables as Iceberg's own Java library does, with every kind of delete. It
// takes some ten seconds a call.
type Spark struct{ java, jars, dir string }

// NewSpark installs Spark; dir is for its files.
func NewSpark(ctx context.Context, dir string) (*Spark, error) {
	bin, err := java(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := jars(ctx, "spark", sparkPOM)
	if err != nil {
		return nil, err
	}
	s := &Spark{bin, lib, dir}
	return s, os.WriteFile(s.file("Query.java"), sparkSource, 0o644)
}

func (s *Spark) file(name string) string { return filepath.Join(s.dir, name) }

// Rows runs queries whose columns are whole numbers, on a REST catalog that the properties
// describe as they do to PyIceberg, and returns the rows of each. Tables are spelled
// lake.NAMESPACE.NAME.
func (s *Spark) Rows(ctx context.Context, catalog map[string]string, queries ...string) ([][][]int64, error) {
	props := map[string]string{
		"spark.master":                   "local[2]",
		"spark.driver.host":              "127.0.0.1",
		"spark.driver.bindAddress":       "127.0.0.1",
		"spark.ui.enabled":               "false",
		"spark.local.dir":                s.dir,
		"spark.sql.warehouse.dir":        s.file("warehouse"),
		"spark.sql.shuffle.partitions":   "2",
		"spark.sql.catalog.lake":         "org.apache.iceberg.spark.SparkCatalog",
		"spark.sql.catalog.lake.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
	}
	for k, v := range catalog {
		props["spark.sql.catalog.lake."+k] = v
	}
	config, answer := s.file("spark.properties"), s.file("answer")
	if err := writeProperties(config, props); err != nil {
		return nil, err
	}
	// A single source file is compiled by java itself, so this one needs a JDK.
	args := append(sparkOpens(), "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-cp", filepath.Join(s.jars, "*"), s.file("Query.java"), config, answer)
	if _, err := run(ctx, s.dir, nil, s.java, append(args, queries...)...); err != nil {
		return nil, fmt.Errorf("query with Spark: %w", err)
	}
	text, err := os.ReadFile(answer)
	if err != nil {
		return nil, err
	}
	var all [][][]int64
	for line := range bytes.Lines(text) {
		var rows [][]int64
		if err := json.Unmarshal(line, &rows); err != nil {
			return nil, fmt.Errorf("answer of Spark %.500q: %w", line, err)
		}
		all = append(all, rows)
	}
	if len(all) != len(queries) {
		return nil, fmt.Errorf("Spark has answered %d of %d queries", len(all), len(queries))
	}
	return all, nil
}

// sparkOpens are the packages of the JDK that Spark reaches into.
func sparkOpens() []string {
	var args []string
	for p := range strings.FieldsSeq("java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util java.util.concurrent java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar") {
		args = append(args, "--add-opens=java.base/"+p+"=ALL-UNNAMED")
	}
	return args
}
