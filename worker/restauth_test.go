package worker_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firn-io/firn/worker"
)

func TestUsersOfREST(t *testing.T) {
	const module = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"
	extension := "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension"
	tests := []struct {
		name, extension, jaas, credentials string
		users                              map[string]string
		err                                string
	}{
		{"as documented", extension, "KafkaConnect {\n  " + module + " required\n  file=\"FILE\";\n};", "alice=s3cret\nbob: pass word\n", map[string]string{"alice": "s3cret", "bob": "pass word"}, ""},
		{"beside others", extension, "// clients\nKafkaClient{a.B required user=\"x;}\" n=1;c.D optional;};/* and */ KafkaConnect{" + module + " REQUIRED file=FILE ;} ;", "a=b", map[string]string{"a": "b"}, ""},
		{"by its alias", "BasicAuthSecurityRestExtension", "KafkaConnect{" + module + " required file=\"FILE\";};", "a=b", map[string]string{"a": "b"}, ""},
		{"no extension", "", "", "", nil, ""},
		{"another extension", "com.example.Other", "", "", nil, "this build has " + extension + " alone"},
		{"no JAAS file", extension, "", "", nil, "no JAAS file says who may log in"},
		{"another entry", extension, "Connect{" + module + " required file=\"FILE\";};", "a=b", nil, "want an entry KafkaConnect"},
		{"another module", extension, "KafkaConnect{com.example.Ldap required file=\"FILE\";};", "a=b", nil, "want an entry KafkaConnect"},
		{"two modules", extension, "KafkaConnect{" + module + " optional file=\"FILE\";" + module + " optional file=\"FILE\";};", "a=b", nil, "and nothing else"},
		{"no file", extension, "KafkaConnect{" + module + " required;};", "a=b", nil, "Property Credentials file must be specified"},
		{"nobody", extension, "KafkaConnect{" + module + " required file=\"FILE\";};", "# none\n", nil, "nobody could log in"},
		{"no password", extension, "KafkaConnect{" + module + " required file=\"FILE\";};", "a=b\nhidden=\n", nil, "without a name or a password"},
		{"missing end", extension, "KafkaConnect{" + module + " required file=\"FILE\"", "a=b", nil, "want a word before the end"},
		{"open quote", extension, "KafkaConnect{" + module + " required file=\"FILE;};", "a=b", nil, "a quote is not closed"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		jaas, file := filepath.Join(dir, "jaas.conf"), filepath.Join(dir, "users.properties")
		props := map[string]string{"rest.extension.classes": tt.extension}
		if tt.jaas != "" {
			props["java.security.auth.login.config"] = jaas
		}
		for path, text := range map[string]string{jaas: strings.ReplaceAll(tt.jaas, "FILE", file), file: tt.credentials} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, warnings, err := worker.NewConfig(distributed(props))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, warned %q", tt.name, err, warnings)
			continue
		}
		if !maps.Equal(c.Users, tt.users) || (c.Users == nil) != (tt.users == nil) {
			t.Errorf("%s: users %v, want %v", tt.name, c.Users, tt.users)
		}
	}
}

func FuzzLoginConfig(f *testing.F) {
	for _, s := range []string{"A{b required c=\"d\";};", "A{", "/*", "//", "A{b required \"x\"=;};", "{}{};=\"", "A{b required;}; A{};"} {
		f.Add(s)
	}
	path := filepath.Join(f.TempDir(), "jaas.conf")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := worker.NewConfig(distributed(map[string]string{"rest.extension.classes": "BasicAuthSecurity", "java.security.auth.login.config": path}))
		if err == nil {
			t.Errorf("%q let somebody in", text)
		}
	})
}
