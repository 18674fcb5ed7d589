package krb5

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"
)

func login(t *testing.T, env func(string) string, o Options) *Login {
	t.Helper()
	o.Renew = 0.8
	l, err := newLogin(o, env)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTicketByKeytab(t *testing.T) {
	k := newKDC(t, "connect/w1@A", "krbtgt/A@A", "krbtgt/B@A", "krbtgt/B@B", "kafka/broker.a.test@A", "kafka/broker.b.test@B", "kafka/broker.c.test@B")
	path := writeKeytab(t, keysOf(t, "other@A", "connect/w1@A"))
	l := login(t, k.env(), Options{Principal: "connect/w1", UseKeytab: true, Keytab: "FILE:" + path})
	k.preauth = true
	for range 2 {
		got, err := l.Ticket(t.Context(), "kafka", "Broker.A.test.")
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Ticket.DecryptEncPart(k.keys, nil); err != nil || got.Realm != "A" || got.Client.PrincipalNameString() != "connect/w1" ||
			string(got.Ticket.DecryptedEncPart.Key.KeyValue) != string(got.Key.KeyValue) || time.Until(got.End) < 50*time.Minute {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if want := "[krbtgt/A@A kafka/broker.a.test@A]"; k.was() != want {
		t.Errorf("asked for %s, want %s", k.was(), want)
	}
	// Of another realm, by krb5.conf, and because the KDC says so.
	for _, host := range []string{"broker.b.test", "broker.c.test"} {
		got, err := l.Ticket(t.Context(), "kafka", host)
		if err != nil || got.Ticket.Realm != "B" || got.Realm != "A" {
			t.Errorf("%s: got %+v, %v", host, got, err)
		}
	}
}

func TestOverUDP(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 100)
		n, from, err := socket.ReadFrom(buf)
		if err == nil {
			_, err = socket.WriteTo(append(buf[:n], '!'), from)
		}
		if err != nil {
			t.Error(err)
		}
	})
	dead, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	c := &conf{kdcs: map[string][]string{"A": {dead.Addr().String(), socket.LocalAddr().String()}}}
	got, err := c.send(t.Context(), "A", []byte("question"))
	if err != nil || string(got) != "question!" {
		t.Errorf("got %q, %v", got, err)
	}
	wg.Wait()
	_ = socket.Close()
	if _, err := c.send(t.Context(), "A", nil); err == nil || strings.Count(err.Error(), "connection refused") != 2 || strings.Contains(err.Error(), "\n") {
		t.Errorf("of nobody: got %v", err)
	}
	c.defaults = map[string]string{"dns_lookup_kdc": "false"}
	if _, err := c.send(t.Context(), "B", nil); err == nil || err.Error() != "krb5.conf names no kdc of realm B" {
		t.Errorf("without a KDC: got %v", err)
	}
}

func TestTicketByCache(t *testing.T) {
	k := newKDC(t, "connect@A", "krbtgt/A@A", "kafka/b.a.test@A")
	path := write(t, k.cache(t, "connect@A", time.Now().Add(time.Hour)))
	env := k.env()
	l := login(t, func(name string) string {
		if name == "KRB5CCNAME" {
			return "FILE:" + path
		}
		return env(name)
	}, Options{UseCache: true})
	got, err := l.Ticket(t.Context(), "kafka", "b.a.test")
	if err != nil || got.Client.PrincipalNameString() != "connect" || k.was() != "[kafka/b.a.test@A]" {
		t.Errorf("got %+v, %v, asked for %s", got, err, k.was())
	}

	// A ticket that has ended, and a keytab beside it.
	path = write(t, k.cache(t, "connect@A", time.Now().Add(-time.Minute)))
	l = login(t, env, Options{UseCache: true, Cache: path})
	if _, err := l.Ticket(t.Context(), "kafka", "b.a.test"); err == nil || !strings.HasSuffix(err.Error(), "the ticket of connect@A in the cache "+path+" has ended: renew it with kinit") {
		t.Errorf("got %v", err)
	}
	l = login(t, env, Options{UseCache: true, Cache: path, UseKeytab: true, Keytab: writeKeytab(t, k.keys), Principal: "connect@A"})
	if _, err := l.Ticket(t.Context(), "kafka", "b.a.test"); err != nil {
		t.Error(err)
	}
	if _, err := newLogin(Options{UseCache: true, Cache: path, Principal: "else@A"}, env); err == nil || !strings.Contains(err.Error(), "is of connect@A, not of else@A") {
		t.Errorf("got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	k := newKDC(t, "connect@A", "krbtgt/A@A", "kafka/b.a.test@A")
	wrong := keytab.New()
	if err := wrong.AddEntry("connect", "A", "s3cret", time.Unix(1000, 0), 1, aes); err != nil {
		t.Fatal(err)
	}
	k.preauth = true // until it has failed
	for _, tt := range []struct {
		keys *keytab.Keytab
		who  string
		host string
		want string
	}{
		{wrong, "connect@A", "b.a.test", "get a ticket for kafka/b.a.test: Kerberos refuses the login of connect@A: (24) KDC_ERR_PREAUTH_FAILED Pre-authentication information was invalid no?such (the keytab has not the key that the KDC has: export it anew)"},
		{wrong, "connect@A", "b.a.test", "get a ticket for kafka/b.a.test: Kerberos refuses the login of connect@A: the keytab has not the key that the KDC has: export it anew"},
		{keysOf(t, "nobody@A"), "nobody@A", "b.a.test", "get a ticket for kafka/b.a.test: Kerberos refuses the login of nobody@A: (6) KDC_ERR_C_PRINCIPAL_UNKNOWN Client not found in Kerberos database no?such (the KDC does not know the principal of sasl.jaas.config)"},
		{k.keys, "connect@A", "c.a.test", "get a ticket for kafka/c.a.test: Kerberos refuses connect@A a ticket for kafka/c.a.test: (7) KDC_ERR_S_PRINCIPAL_UNKNOWN Server not found in Kerberos database no?such (the KDC does not know this service: compare sasl.kerberos.service.name and the host with the broker's principal)"},
	} {
		l := login(t, k.env(), Options{Principal: tt.who, UseKeytab: true, Keytab: writeKeytab(t, tt.keys)})
		_, err := l.Ticket(t.Context(), "kafka", tt.host)
		if err == nil || err.Error() != tt.want || !errors.Is(err, ErrRefused) {
			t.Errorf("\n got %v\nwant %s", err, tt.want)
		}
	}
}

// Strangers can answer in the KDC's place.
func TestStrangeAnswers(t *testing.T) {
	k := newKDC(t, "connect@A", "krbtgt/A@A", "kafka/b.a.test@A")
	l := login(t, k.env(), Options{Principal: "connect@A", UseKeytab: true, Keytab: writeKeytab(t, k.keys)})
	for _, says := range [][]byte{
		{},
		{0, 0, 0, 0},
		{0, 0, 0, 4, 1, 2, 3, 4},
		{0, 0, 0, 2, 0x6b, 0x80},
		{0xff, 0xff, 0xff, 0xf0, 1},
		append(binary.BigEndian.AppendUint32(nil, 6), 0x7e, 0x04, 0x30, 0x02, 0xa0, 0x00),
	} {
		k.mu.Lock()
		k.says = says
		k.mu.Unlock()
		if _, err := l.Ticket(t.Context(), "kafka", "b.a.test"); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("% x: got %v", says, err)
		}
	}
}

func TestTicketsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		var fails error
		l := &Login{
			renew: 0.8, now: time.Now, held: map[string]*Ticket{}, canonical: func(_ context.Context, host string) string { return host },
		}
		l.fetch = func(_ context.Context, service, host string) (*Ticket, error) {
			asked++
			if host == "panics" {
				panic("index out of range")
			}
			return &Ticket{Realm: service + "/" + host, End: time.Now().Add(100 * time.Minute)}, fails
		}
		want := func(calls int) {
			t.Helper()
			got, err := l.Ticket(t.Context(), "kafka", "a")
			if err != nil || got.Realm != "kafka/a" || asked != calls {
				t.Errorf("got %v, %v after %d requests, want %d", got, err, asked, calls)
			}
		}
		want(1)
		time.Sleep(79 * time.Minute)
		want(1)
		fails = errors.New("KDC is down")
		time.Sleep(2 * time.Minute)
		want(2) // the old one has not ended
		time.Sleep(20 * time.Minute)
		if _, err := l.Ticket(t.Context(), "kafka", "a"); err == nil || err.Error() != "get a ticket for kafka/a: KDC is down" {
			t.Errorf("got %v", err)
		}
		fails = nil
		want(4)
		if _, err := l.Ticket(t.Context(), "kafka", "panics"); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("got %v", err)
		}

		release := make(chan bool)
		l.fetch = func(context.Context, string, string) (*Ticket, error) {
			<-release
			return &Ticket{End: time.Now().Add(time.Hour)}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Ticket(ctx, "kafka", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(release)
		synctest.Wait()
		if l.holds("kafka/b") == nil {
			t.Error("the ticket that came too late was dropped")
		}
	})
}

func TestLoginFailures(t *testing.T) {
	k := newKDC(t, "connect@A")
	keys := writeKeytab(t, k.keys)
	data, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	short, none := write(t, data[:len(data)-9]), t.TempDir()+"/none"
	noRealm := vars("KRB5_CONFIG", write(t, []byte("[libdefaults]\n")))
	for _, tt := range []struct {
		o    Options
		env  func(string) string
		want string
	}{
		{Options{}, vars("KRB5_CONFIG", none), "read krb5.conf: open /etc"},
		{Options{}, vars("KAFKA_OPTS", "-Xmx1g -Djava.security.krb5.conf="+none), "read krb5.conf: open " + none + ": no such file or directory (java.security.krb5.conf in KAFKA_OPTS, or KRB5_CONFIG, may say where it is)"},
		{Options{UseKeytab: true, Keytab: keys}, k.env(), "principal is missing: it says whose keys of the keytab to use"},
		{Options{UseKeytab: true, Principal: "connect"}, k.env(), "keyTab is missing: it names the file of the principal's keys"},
		{Options{UseKeytab: true, Principal: "connect", Keytab: keys}, noRealm, "principal connect has no realm, and krb5.conf has no default_realm"},
		{Options{UseKeytab: true, Principal: "*", Keytab: keys}, k.env(), `principal "*": want NAME@REALM or NAME/HOST@REALM`},
		{Options{UseKeytab: true, Principal: "else", Keytab: keys}, k.env(), `the keytab ` + keys + ` has no key of else@A; it has keys of ["connect@A"]`},
		{Options{UseKeytab: true, Principal: "connect", Keytab: none}, k.env(), "read the keytab: open " + none + ": no such file or directory"},
		{Options{UseKeytab: true, Principal: "connect", Keytab: t.TempDir()}, k.env(), "is a folder"},
		{Options{UseKeytab: true, Principal: "connect", Keytab: short}, k.env(), "read the keytab " + short + ": it is no keytab, or not all of one"},
		{Options{UseCache: true, Cache: "KEYRING:persistent:0"}, k.env(), "the ticket cache KEYRING:persistent:0 is no file: give ticketCache, or KRB5CCNAME, a file"},
		{Options{UseCache: true, Cache: none}, k.env(), "read the ticket cache: open " + none + ": no such file or directory"},
		{Options{UseCache: true, Cache: none, UseKeytab: true, Principal: "connect", Keytab: none}, k.env(), "read the ticket cache: open " + none + ": no such file or directory; read the keytab: open " + none + ": no such file or directory"},
		{Options{UseCache: true, Cache: keys}, k.env(), "it is no ticket cache of version 3 or 4"},
	} {
		_, err := newLogin(tt.o, tt.env)
		if tt.env("KRB5_CONFIG") == none {
			if got := confPath(tt.env); got != none {
				t.Errorf("krb5.conf is taken from %s", got)
			}
			continue
		}
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%+v\n got %v\nwant %s", tt.o, err, tt.want)
		}
	}
}

func TestCanonical(t *testing.T) {
	for host, want := range map[string]string{"Broker1.Example.COM.": "broker1.example.com", "localhost": "localhost"} {
		if got := canonical(t.Context(), host); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
}

func TestKeytabOfManyKeys(t *testing.T) {
	kt := keytab.New()
	for kvno := range uint8(3) { // imported together, the newest in the middle
		if err := kt.AddEntry("connect", "A", "password", time.Unix(0, 0), (kvno*2)%3+1, aes); err != nil {
			t.Fatal(err)
		}
	}
	kt, _, err := readKeytab(writeKeytab(t, kt), principal{names: []string{"connect"}, realm: "A"})
	if err != nil {
		t.Fatal(err)
	}
	_, kvno, err := kt.GetEncryptionKey(types.PrincipalName{NameString: []string{"connect"}}, "A", 0, aes)
	if err != nil || kvno != 3 {
		t.Errorf("got key %d, %v, want 3", kvno, err)
	}
}
