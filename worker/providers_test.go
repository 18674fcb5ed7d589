package worker

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProviders(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "secrets.properties"), "user=firn\npassword=grüße\\u20ac\nnested=${env:FIRN_TEST}\n")
	write(t, filepath.Join(dir, "token"), "t0ken\n")
	outside := write(t, filepath.Join(t.TempDir(), "x.properties"), "user=other\n")
	t.Setenv("FIRN_TEST", "from the environment")
	t.Setenv("SECRET_TEST", "not allowed")
	p, err := newProviders(map[string]string{
		"config.providers":                             "file, dir, env",
		"config.providers.file.class":                  "org.apache.kafka.common.config.provider.FileConfigProvider",
		"config.providers.file.param.allowed.paths":    dir,
		"config.providers.dir.class":                   "DirectoryConfigProvider",
		"config.providers.env.class":                   "EnvVar",
		"config.providers.env.param.allowlist.pattern": "FIRN_.*",
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ in, want string }{
		{"${file:" + file + ":user}", "firn"},
		{"a ${file:" + file + ":user} and ${file:" + file + ":password}!", "a firn and grüße€!"},
		{"${file:" + file + ":nested}", "${env:FIRN_TEST}"}, // nothing is resolved twice
		{"${file:" + file + ":absent}", "${file:" + file + ":absent}"},
		{"${file:" + outside + ":user}", "${file:" + outside + ":user}"},
		{"${dir:" + dir + ":token}", "t0ken\n"},
		{"${dir:" + dir + ":../x}", "${dir:" + dir + ":../x}"},
		{"${env:FIRN_TEST}", "from the environment"},
		{"${env:SECRET_TEST}", "${env:SECRET_TEST}"},
		{"${vault:a:b}", "${vault:a:b}"},
		{"$1 ${} ${x}", "$1 ${} ${x}"},
	}
	for _, tt := range tests {
		got, err := p.resolve(map[string]string{"k": tt.in})
		if err != nil || got["k"] != tt.want {
			t.Errorf("%s became %q, %v; want %q", tt.in, got["k"], err, tt.want)
		}
	}
	if _, err := p.resolve(map[string]string{"k": "${file:" + dir + "/missing:key}"}); err == nil || !strings.HasPrefix(err.Error(), "Could not read properties from file "+dir+"/missing") {
		t.Errorf("a missing file failed with %v", err)
	}
}

func TestSecretsStayVariables(t *testing.T) {
	t.Setenv("FIRN_SECRET", "hunter2")
	p, err := newProviders(map[string]string{"config.providers": "env", "config.providers.env.class": "EnvVarConfigProvider"})
	if err != nil {
		t.Fatal(err)
	}
	raw := map[string]string{"a": "${env:FIRN_SECRET}", "b": "plain"}
	_, hide, err := p.reveal(raw)
	if err != nil {
		t.Fatal(err)
	}
	tasks := []map[string]string{{"a": "hunter2", "b": "plain", "c": "more", "copied": "hunter2"}}
	restore(tasks, raw, hide)
	if want := (map[string]string{"a": "${env:FIRN_SECRET}", "b": "plain", "c": "more", "copied": "${env:FIRN_SECRET}"}); !maps.Equal(tasks[0], want) {
		t.Errorf("task config became %v, want %v", tasks[0], want)
	}

	v, _ := recordedValidator(t)
	v.config.providers = p
	infos, err := v.validate(t.Context(), map[string]*string{
		"connector.class": new("IcebergSink"), "name": new("x"), "topics": new("t"),
		"iceberg.catalog": new("${env:FIRN_SECRET}"), "tasks.max": new("${env:FIRN_SECRET}"),
	})
	if err != nil || infos.ErrorCount != 2 {
		t.Fatalf("validated with %+v, %v; want two errors about tasks.max", infos, err)
	}
	for _, info := range infos.Configs {
		for _, text := range append(info.Value.Errors, *cmpOr(info.Value.Value)) {
			if strings.Contains(text, "hunter2") {
				t.Errorf("key %s shows a secret: %s", info.Value.Name, text)
			}
		}
	}
}

func cmpOr(s *string) *string {
	if s == nil {
		return new("")
	}
	return s
}
