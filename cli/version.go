package cli

import (
	"context"
	"flag"
	"runtime"
	"runtime/debug"
)

var versionCommand = command{
	name:  "version",
	short: "the version of this binary",
	long:  "Prints the version, the commit it was built from, and Go's version.",
	setup: func(*flag.FlagSet) func(context.Context, *env, []string) error {
		return func(_ context.Context, e *env, _ []string) error {
			version, commit := build()
			say(e.stdout, "firn %s (commit %s, %s, %s/%s)\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		}
	},
}

// build is what the Go toolchain stamped into the binary.
func build() (version, commit string) {
	version, commit = "development", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, commit
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return version, commit
}
