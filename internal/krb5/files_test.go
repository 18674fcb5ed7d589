package krb5

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/credentials"
)

func TestConf(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"sub/realm.conf":   "[realms]\nB = {\n kdc = b1\n}\n",
		"sub/.hidden.conf": "nonsense",
		"sub/x~":           "nonsense",
		"one":              "[libdefaults]\nticket_lifetime = 10h\n",
		"krb5.conf": "# a comment\ninclude " + dir + "/one\nincludedir " + dir + "/sub/\nincludedir " + dir + "/none\n\n" +
			"[logging]\n default = FILE:/var/log/krb5libs.log\n" +
			"[libdefaults]\n  default_realm = A\n default_realm = Z\n dns_canonicalize_hostname = fallback\n" +
			" default_tkt_enctypes = aes256-cts,aes128-cts\n ; another\n B = {\n  default_realm = no\n }\n" +
			"[realms]\n A = {\n  kdc = a1.test:750\n  kdc = tcp/a2.test\n  kdc = [::1]\n  admin_server = a1.test\n" +
			"  auth_to_local = RULE:[1:$1@$0](.*@A)s/@.*//;x\n  auth_to_local_names = {\n   kdc = alice\n  }\n }\n B = {\n  kdc = b2\n }\n" +
			"[domain_realm]\n .a.test = A\n\tb.test = \"B\"\n[capaths]\n A = {\n  B = .\n }\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := readConf(filepath.Join(dir, "krb5.conf"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.gokrb5()
	if err != nil {
		t.Fatal(err)
	}
	d := got.LibDefaults
	if s := fmt.Sprint(c.kdcs, got.DomainRealm, d.DefaultRealm, d.TicketLifetime, d.DefaultTktEnctypeIDs, d.DefaultTGSEnctypeIDs); s !=
		"map[A:[a1.test:750 a2.test:88 [::1]:88] B:[b1:88 b2:88]] map[.a.test:A b.test:B]A10h0m0s [18 17] [18 17 20 19]" {
		t.Error(s)
	}
}

func TestConfFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "krb5.conf")
	for _, tt := range []struct{ text, want string }{
		{"include " + path, "more than 64 files are included"},
		{"include " + path + "x", "no such file or directory"},
		{"[libdefaults]\nnonsense", "line 2: want key = value, or key = { on one line"},
		{"[libdefaults]\n}", "line 2: want key = value, or key = { on one line"},
		{"[libdefaults]\ndefault_realm = a=b", "line 2: default_realm: a value cannot have any of { } = # ;"},
		{"[libdefaults]\nforwardable = perhaps", "invalid boolean value"},
		{"[libdefaults]\npermitted_enctypes = rot13", "it allows no encryption type that this build has: see default_tkt_enctypes and permitted_enctypes"},
		{"[libdefaults]\npermitted_enctypes = rc4-hmac", "it allows no AES for the tickets of services: see default_tgs_enctypes and permitted_enctypes"},
		{"[realms]\nA = {\nkdc = https://a/KdcProxy\n}", "kdc https://a/KdcProxy: a KDC behind HTTPS is not in this build"},
		{"[realms]\nA = {\nkdc = a b\n}", `kdc "a b": want HOST or HOST:PORT`},
		{strings.Repeat("#", maxFileBytes+1), "has more than 1048576 bytes"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConf(path)
		if err == nil {
			_, err = c.gokrb5()
		}
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%.60q\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func FuzzConf(f *testing.F) {
	f.Add("[libdefaults]\ndefault_realm = A\n[realms]\nA = {\n kdc = a\n v4_x = {\n }\n x = {\n }\n}\n[domain_realm]\na = A")
	f.Add("[realms]\n}\n{\n=\nkdc = *")
	f.Add("[libdefaults]\nclockskew = 1d9223372036h\ndefault_tkt_enctypes = \nkdc_default_options = 0x\nrenew_lifetime = :")
	path := filepath.Join(f.TempDir(), "krb5.conf")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "include") {
			return // of files of this machine
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConf(path)
		if err != nil {
			return
		}
		if got, err := c.gokrb5(); err == nil && len(got.LibDefaults.DefaultTGSEnctypeIDs) == 0 {
			t.Errorf("%q: no encryption type", text)
		}
	})
}

func FuzzKeytab(f *testing.F) {
	kt := keysOf(&testing.T{}, "connect@A", "kafka/b@A")
	data, err := kt.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:40])
	f.Add([]byte{5, 1, 0, 0, 0, 1})
	f.Add([]byte{5, 2, 0x80, 0, 0, 0, 0, 0})
	f.Add([]byte{5, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := parseKeytab(data); err != nil && err.Error() != "it is no keytab, or not all of one" {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzCache(f *testing.F) {
	k := &kdc{keys: keysOf(&testing.T{}, "krbtgt/A@A")}
	data := k.cache(&testing.T{}, "connect/w1@A", time.Unix(2e9, 0))
	f.Add(data)
	f.Add(data[:100])
	f.Add(append([]byte{5, 3}, data[16:]...))
	f.Add(append([]byte{5, 4, 0, 0}, bytes.Repeat([]byte{0x7f, 0xff, 0xff, 0xff}, 40)...))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseCache(data) })
}

// The cache is read as gokrb5 reads it, where gokrb5 can.
func TestCacheAgainstGokrb5(t *testing.T) {
	k := &kdc{keys: keysOf(t, "krbtgt/A@A")}
	data := k.cache(t, "connect/w1@A", time.Unix(2e9, 0))
	var want credentials.CCache
	if err := want.Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	cred := want.GetEntries()[0]
	got, err := parseCache(data)
	if err != nil || got.client.String() != cred.Client.PrincipalName.PrincipalNameString()+"@"+cred.Client.Realm || !got.end.Equal(cred.EndTime) ||
		got.key.KeyType != cred.Key.KeyType || !bytes.Equal(got.key.KeyValue, cred.Key.KeyValue) {
		t.Errorf("got %+v, %v, want %+v", got, err, cred)
	}
	if der, err := got.ticket.Marshal(); err != nil || !bytes.Equal(der, cred.Ticket) {
		t.Errorf("got ticket %x, %v, want %x", der, err, cred.Ticket)
	}
	for n := range data {
		if _, err := parseCache(data[:n]); err == nil {
			t.Errorf("of %d bytes, %d are enough", len(data), n)
		}
	}
}
