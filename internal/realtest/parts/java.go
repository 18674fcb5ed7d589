//go:build unix

package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// java finds a Java 17 or newer: $JAVA_HOME's, else the one in the path.
func java(ctx context.Context) (string, error) {
	const oldest = 17
	path := filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java")
	if os.Getenv("JAVA_HOME") == "" {
		var err error
		if path, err = tool("java"); err != nil {
			return "", err
		}
	}
	out, err := run(ctx, "", nil, path, "-version")
	if err != nil {
		return "", fmt.Errorf("java: %w: %w", ErrMissing, err)
	}
	version := 0
	if m := javaVersion.FindStringSubmatch(out); m != nil {
		version, _ = strconv.Atoi(m[1]) // digits only
	}
	if version < oldest {
		return "", fmt.Errorf("java %d or newer: %w: %s is %d", oldest, ErrMissing, path, version)
	}
	return path, nil
}

// jars returns the folder that holds the dependencies of a pom.
func jars(ctx context.Context, name string, pom []byte) (string, error) {
	dir, err := install(name, pom, func(dir string) error {
		mvn, err := tool("mvn")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
			return err
		}
		_, err = run(ctx, dir, nil, mvn, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(dir, "jars"))
		return err
	})
	return filepath.Join(dir, "jars"), err
}
