package worker

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/javaregex"
)

// providers resolve the variables ${provider:path:key} and ${provider:key} that values of
// worker and connector configs may hold (KIP-297). They are made once and only read; what
// they look up is read anew each time.
type providers map[string]provider

// A provider looks values up.
type provider struct {
	get lookUp
	ttl time.Duration // after which they may be others; 0: as long as they are used
}

// lookUp returns the values of keys at path; keys it does not know are left out.
type lookUp func(path string, keys []string) (map[string]string, error)

// providerClasses are the providers of this build, under their Java class names.
var providerClasses = map[string]func(params map[string]string) (lookUp, error){
	"org.apache.kafka.common.config.provider.DirectoryConfigProvider": directoryProvider,
	"org.apache.kafka.common.config.provider.EnvVarConfigProvider":    envProvider,
	"org.apache.kafka.common.config.provider.FileConfigProvider":      fileProvider,
}

// paramTTL is the parameter of a provider, Firn's own, that says how many milliseconds its
// values are good for.
const paramTTL = "ttl.ms"

// newProviders makes the providers that a worker's properties declare.
func newProviders(props map[string]string) (providers, error) {
	out := providers{}
	var errs []error
	for _, name := range (connect.Values{"": props["config.providers"]}).List("") {
		prefix := "config.providers." + name + "."
		given := strings.TrimSpace(props[prefix+"class"])
		class := ""
		for c := range providerClasses {
			simple := c[strings.LastIndexByte(c, '.')+1:]
			if given == c || given == simple || given == strings.TrimSuffix(simple, "ConfigProvider") {
				class = c
			}
		}
		if class == "" {
			errs = append(errs, connect.ConfigError{Key: prefix + "class", Message: fmt.Sprintf("Invalid value %s for configuration %sclass: Class %s could not be found.", given, prefix, given)})
			continue
		}
		params := stripped(props, prefix+"param.")
		get, err := providerClasses[class](params)
		if err != nil {
			errs = append(errs, connect.ConfigError{Key: prefix + "class", Message: fmt.Sprintf("Config provider %s: %v", name, err)})
			continue
		}
		ttl, err := strconv.ParseUint(cmp.Or(strings.TrimSpace(params[paramTTL]), "0"), 10, 31)
		if err != nil {
			errs = append(errs, connect.ConfigError{Key: prefix + "param." + paramTTL, Message: fmt.Sprintf("Invalid value %s for configuration %sparam.%s: Not a number of milliseconds", params[paramTTL], prefix, paramTTL)})
		}
		out[name] = provider{get, time.Duration(ttl) * time.Millisecond}
	}
	return out, errors.Join(errs...)
}

// variable is a reference: provider, path (may be missing) and key.
var variable = regexp.MustCompile(`\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}`)

// resolve replaces the variables in the values of config. What an unknown provider or an
// absent key would give stays as it is; nothing is resolved twice.
func (p providers) resolve(config map[string]string) (map[string]string, error) {
	resolved, _, err := p.reveal(config)
	return resolved, err
}

// reveal is resolve, with what hides the values again.
func (p providers) reveal(config map[string]string) (map[string]string, *veil, error) {
	type place struct{ provider, path string }
	wanted := map[place][]string{}
	for _, value := range config {
		for _, m := range variable.FindAllStringSubmatch(value, -1) {
			if p[m[1]].get != nil {
				at := place{m[1], m[3]}
				wanted[at] = append(wanted[at], m[4])
			}
		}
	}
	if len(wanted) == 0 {
		return config, nil, nil
	}
	found := map[place]map[string]string{}
	for at, keys := range wanted {
		values, err := p[at.provider].get(at.path, keys)
		if err != nil {
			return nil, nil, err
		}
		found[at] = values
	}
	values := map[string]string{}
	out := make(map[string]string, len(config))
	for k, value := range config {
		out[k] = variable.ReplaceAllStringFunc(value, func(ref string) string {
			m := variable.FindStringSubmatch(ref)
			if v, ok := found[place{m[1], m[3]}][m[4]]; ok {
				values[ref] = v
				return v
			}
			return ref
		})
	}
	return out, newVeil(values), nil
}

// ttl is how long what the variables of a config stand for is good, 0 if for good.
func (p providers) ttl(config map[string]string) (least time.Duration) {
	for _, value := range config {
		for _, m := range variable.FindAllStringSubmatch(value, -1) {
			if ttl := p[m[1]].ttl; ttl > 0 && (least == 0 || ttl < least) {
				least = ttl
			}
		}
	}
	return least
}

// restore puts the variables back into task configs that were made from the resolved
// connector config, so that no secret is written to the config topic: under the keys of
// the connector, and, unlike Java, under others that have the same value.
func restore(tasks []map[string]string, raw map[string]string, v *veil) {
	for _, t := range tasks {
		for key, value := range t {
			if v != nil && len(value) >= shortSecret && v.secrets[value] != "" {
				t[key] = v.secrets[value]
			}
			if variable.MatchString(raw[key]) {
				t[key] = raw[key]
			}
		}
	}
}

// maxProvided bounds a file that a provider reads.
const maxProvided = 1 << 20

func readProvided(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxProvided+1))
	if err == nil && len(data) > maxProvided {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxProvided)
	}
	return data, err
}

// allowedPaths reads the parameter allowed.paths; the function it returns tells whether a
// path is within one of them.
func allowedPaths(params map[string]string) (func(path string) bool, error) {
	roots := (connect.Values{"": params["allowed.paths"]}).List("")
	for i, root := range roots {
		if !filepath.IsAbs(root) {
			return nil, fmt.Errorf("allowed path %s is not absolute", root)
		}
		if _, err := os.Stat(root); err != nil {
			return nil, fmt.Errorf("allowed path %s does not exist", root)
		}
		roots[i] = filepath.Clean(root)
	}
	return func(path string) bool {
		path = filepath.Clean(path)
		return len(roots) == 0 || slices.ContainsFunc(roots, func(root string) bool {
			rel, err := filepath.Rel(root, path)
			return err == nil && filepath.IsLocal(rel)
		})
	}, nil
}

// fileProvider reads keys of .properties files.
func fileProvider(params map[string]string) (lookUp, error) {
	allowed, err := allowedPaths(params)
	return func(path string, keys []string) (map[string]string, error) {
		if path == "" || !allowed(path) {
			return nil, nil
		}
		data, err := readProvided(path)
		if err != nil {
			return nil, fmt.Errorf("Could not read properties from file %s: %w", path, err) //nolint:staticcheck // Java's wording
		}
		props, err := ParseProperties(strings.NewReader(asciiProperties(data)))
		maps.DeleteFunc(props, func(k, _ string) bool { return !slices.Contains(keys, k) })
		return props, err
	}, err
}

// asciiProperties escapes what is not ASCII: these files, unlike a worker's, are UTF-8.
func asciiProperties(data []byte) string {
	var b strings.Builder
	for _, r := range string(data) {
		if r < 0x80 {
			b.WriteByte(byte(r))
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}

// directoryProvider takes file names as keys and contents as values.
func directoryProvider(params map[string]string) (lookUp, error) {
	allowed, err := allowedPaths(params)
	return func(path string, keys []string) (map[string]string, error) {
		out := map[string]string{}
		for _, key := range keys {
			file := filepath.Join(path, key)
			if path == "" || !allowed(path) || filepath.Base(key) != key {
				continue
			}
			if s, err := os.Stat(file); err != nil || !s.Mode().IsRegular() {
				continue
			}
			data, err := readProvided(file)
			if err != nil {
				return nil, fmt.Errorf("Could not read file %s for property %s: %w", file, key, err) //nolint:staticcheck // Java's wording
			}
			out[key] = string(data)
		}
		return out, nil
	}, err
}

// envProvider reads environment variables.
func envProvider(params map[string]string) (lookUp, error) {
	matches := func(string) bool { return true }
	if expr := params["allowlist.pattern"]; expr != "" {
		p, err := javaregex.Compile(expr)
		if err != nil {
			return nil, err
		}
		matches = p.Matches
	}
	return func(path string, keys []string) (map[string]string, error) {
		if path != "" {
			return nil, fmt.Errorf("Path is not supported for EnvVarConfigProvider, invalid value '%s'", path) //nolint:staticcheck // Java's wording
		}
		out := map[string]string{}
		for _, key := range keys {
			if v, ok := os.LookupEnv(key); ok && matches(key) {
				out[key] = v
			}
		}
		return out, nil
	}, nil
}
