package krb5

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"

	"github.com/firn-io/firn/internal/jvm"
)

const (
	maxFileBytes    = 1 << 20 // of a krb5.conf, a keytab, a cache
	maxIncludeFiles = 64
)

// A conf is what a krb5.conf says that matters to a client.
type conf struct {
	defaults map[string]string   // of [libdefaults], by lower-case key
	kdcs     map[string][]string // HOST:PORT by realm
	domains  map[string]string   // of [domain_realm]: realm by host, or by .domain
	files    int
}

// confPath is where krb5.conf is: java.security.krb5.conf as a Java worker gets it, in
// KAFKA_OPTS; KRB5_CONFIG, as MIT's tools do, the first file there is of its list; else
// /etc/krb5.conf.
func confPath(getenv func(string) string) string {
	if path := jvm.SystemProperty(getenv("KAFKA_OPTS"), "java.security.krb5.conf"); path != "" {
		return path
	}
	candidates := filepath.SplitList(getenv("KRB5_CONFIG"))
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return append(candidates, "/etc/krb5.conf")[0]
}

func readConf(path string) (*conf, error) {
	c := &conf{defaults: map[string]string{}, kdcs: map[string][]string{}, domains: map[string]string{}}
	if err := c.file(path); err != nil {
		return nil, err
	}
	return c, nil
}

// file reads a file of MIT's profile format: sections of key = value, in realms one level
// down. The first value wins, as there; what a client does not need is passed over.
func (c *conf) file(path string) error {
	if c.files++; c.files > maxIncludeFiles {
		return fmt.Errorf("%s: more than %d files are included", path, maxIncludeFiles)
	}
	text, err := readFile(path)
	if err != nil {
		return err
	}
	var section string
	var blocks []string // that are open
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		key, value, isRelation := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"`)
		name, argument, _ := strings.Cut(line, " ")
		switch {
		case line == "", line[0] == '#', line[0] == ';':
		case line[0] == '[':
			section, _, _ = strings.Cut(line[1:], "]")
			blocks = nil
		case strings.TrimRight(line, "*") == "}" && len(blocks) > 0:
			blocks = blocks[:len(blocks)-1]
		case isRelation && value == "{":
			blocks = append(blocks, key)
		case isRelation:
			if err := c.relation(section, blocks, key, value); err != nil {
				return fmt.Errorf("%s, line %d: %w", path, n+1, err)
			}
		case name == "include":
			if err := c.file(strings.TrimSpace(argument)); err != nil {
				return fmt.Errorf("included by %s: %w", path, err)
			}
		case name == "includedir":
			if err := c.dir(strings.TrimSpace(argument)); err != nil {
				return fmt.Errorf("included by %s: %w", path, err)
			}
		case name == "module": // of MIT's own code
		default:
			return fmt.Errorf("%s, line %d: want key = value, or key = { on one line", path, n+1)
		}
	}
	return nil
}

var includedName = regexp.MustCompile(`^([A-Za-z0-9_-]+|[^.].*\.conf)$`)

// dir reads the files of a folder. Names are as MIT takes them.
func (c *conf) dir(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) { // on systems whose krb5.conf names it for all cases
		return nil
	}
	for _, e := range entries {
		if err == nil && !e.IsDir() && includedName.MatchString(e.Name()) {
			err = c.file(filepath.Join(path, e.Name()))
		}
	}
	return err
}

func (c *conf) relation(section string, blocks []string, key, value string) error {
	if strings.ContainsAny(value, "{}=#;") {
		if section == "libdefaults" || section == "domain_realm" {
			return fmt.Errorf("%s: a value cannot have any of { } = # ;", key)
		}
		return nil // of rules like auth_to_local
	}
	switch {
	case section == "libdefaults" && len(blocks) == 0:
		if _, given := c.defaults[strings.ToLower(key)]; !given {
			c.defaults[strings.ToLower(key)] = value
		}
	case section == "domain_realm" && len(blocks) == 0:
		if _, given := c.domains[strings.ToLower(key)]; !given {
			c.domains[strings.ToLower(key)] = value
		}
	case section == "realms" && len(blocks) == 1 && strings.EqualFold(key, "kdc"):
		kdc, err := kdcAddress(value)
		if err != nil {
			return err
		}
		c.kdcs[blocks[0]] = append(c.kdcs[blocks[0]], kdc)
	}
	return nil
}

// kdcAddress makes HOST:PORT of what may follow kdc =.
func kdcAddress(value string) (string, error) {
	value = strings.TrimRight(value, "* ")
	if strings.Contains(value, "://") {
		return "", fmt.Errorf("kdc %s: a KDC behind HTTPS is not in this build", value)
	}
	for _, transport := range []string{"tcp/", "udp/"} {
		value = strings.TrimPrefix(value, transport)
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		host, port = strings.Trim(value, "[]"), "88"
	}
	if host == "" || strings.ContainsAny(host, " \t*") {
		return "", fmt.Errorf("kdc %q: want HOST or HOST:PORT", value)
	}
	return net.JoinHostPort(host, port), nil
}

// passed are the settings of [libdefaults] that gokrb5 gets.
var passed = []string{
	"allow_weak_crypto", "canonicalize", "clockskew", "default_realm", "default_tgs_enctypes", "default_tkt_enctypes",
	"forwardable", "permitted_enctypes", "proxiable", "renew_lifetime", "ticket_lifetime",
}

// gokrb5 gives the settings to gokrb5's own loader, which checks them; a new copy for each
// login, which may change it. The file itself is not for that loader: it panics on blocks in
// blocks, takes # and ; within a line for comments, and knows no include.
func (c *conf) gokrb5() (*config.Config, error) {
	var b strings.Builder
	b.WriteString("[libdefaults]\n")
	for _, key := range passed {
		value, given := c.defaults[key]
		if !given && (key == "default_tgs_enctypes" || key == "default_tkt_enctypes") {
			value, given = cmp.Or(c.defaults["permitted_enctypes"], enctypes), true
		}
		if given {
			fmt.Fprintf(&b, "%s = %s\n", key, strings.ReplaceAll(value, ",", " "))
		}
	}
	out, err := guarded(func() (*config.Config, error) { return config.NewFromString(b.String()) })
	if err != nil {
		return nil, err
	}
	d := &out.LibDefaults
	d.DefaultTGSEnctypeIDs = both(d.DefaultTGSEnctypeIDs, wrapping)
	switch {
	case len(d.DefaultTktEnctypeIDs) == 0:
		return nil, errors.New("it allows no encryption type that this build has: see default_tkt_enctypes and permitted_enctypes")
	case len(d.DefaultTGSEnctypeIDs) == 0:
		return nil, errors.New("it allows no AES for the tickets of services: see default_tgs_enctypes and permitted_enctypes")
	}
	maps.Copy(out.DomainRealm, c.domains)
	return out, nil
}

// enctypes are the encryption types if krb5.conf names none, the best first.
const enctypes = "aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha256-128 arcfour-hmac"

// wrapping are the types of keys whose tokens are those of RFC 4121, which alone are known
// to sarama: AES.
var wrapping = []int32{
	etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128,
}

// both are those of a, in its order, that b has too.
func both(a, b []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(a), func(id int32) bool { return !slices.Contains(b, id) })
}

// guarded turns a panic of gokrb5 into an error.
func guarded[T any](call func() (T, error)) (out T, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it is malformed, and gokrb5 cannot say where")
		}
	}()
	return call()
}

// readFile reads a small file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFileBytes)
	}
	return text, err
}
