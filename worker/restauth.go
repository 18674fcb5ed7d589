package worker

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/jvm"
)

const (
	keyExtensions  = "rest.extension.classes"
	keyLoginConfig = jvm.LoginConfig
)

// basicAuthNames are the class of Java's extension and its aliases.
var basicAuthNames = []string{
	"org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension", "BasicAuthSecurityRestExtension", "BasicAuthSecurity",
}

const propertyFileModule = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"

func checkExtensions(value string) error {
	for _, class := range connect.SplitList(value) {
		if !slices.Contains(basicAuthNames, class) {
			return javaErrorf("this build has %s alone", basicAuthNames[0])
		}
	}
	return nil
}

// users reads who may use the REST API, with their passwords: nil if everybody may.
// (Source: BasicAuthSecurityRestExtension, PropertyFileLoginModule.)
func users(extensions []string, loginConfig string) (map[string]string, error) {
	if len(extensions) == 0 {
		return nil, nil
	}
	if loginConfig == "" {
		return nil, fmt.Errorf("%s: no JAAS file says who may log in: set %s to its path, here or in KAFKA_OPTS", keyExtensions, keyLoginConfig)
	}
	found, err := readLoginConfig(strings.TrimPrefix(loginConfig, "file:"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyLoginConfig, err)
	}
	return found, nil
}

func readLoginConfig(path string) (map[string]string, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	entries, err := jvm.ParseJAAS(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	modules := entries["KafkaConnect"]
	if len(modules) != 1 || modules[0].Class != propertyFileModule {
		return nil, fmt.Errorf("%s: want an entry KafkaConnect with %s and nothing else", path, propertyFileModule)
	}
	file := modules[0].Options["file"]
	if strings.TrimSpace(file) == "" {
		return nil, fmt.Errorf("%s: Property Credentials file must be specified: file=\"…\"", path)
	}
	if text, err = readBounded(file); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	found, err := ParseProperties(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("credentials %s: %w", file, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("credentials %s: there are none, so that nobody could log in", file)
	}
	for user, password := range found {
		if user == "" || password == "" {
			return nil, fmt.Errorf("credentials %s: a user without a name or a password", file)
		}
	}
	return found, nil
}

// readBounded reads a small file.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxPropertiesBytes+1))
	if err == nil && len(text) > maxPropertiesBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxPropertiesBytes)
	}
	return text, err
}
