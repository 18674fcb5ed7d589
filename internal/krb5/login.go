package krb5

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/sync/singleflight"
)

// Options say who logs in, and by what. With a keytab and a cache, the cache comes first.
type Options struct {
	Principal string // NAME or NAME@REALM; with a cache alone it may be "": whoever the cache is of

	UseKeytab bool
	Keytab    string // a path; "" is default_keytab_name of krb5.conf

	UseCache bool
	Cache    string // a path; "" is KRB5CCNAME, else /tmp/krb5cc_UID

	Renew float64 // the part of a ticket's life after which a new one is asked for
}

// A Login gets tickets in the name of one principal.
type Login struct {
	conf      *conf
	who       principal // without names if the cache says who
	keytab    string    // "" for none
	cache     string    // "" for none
	renew     float64
	now       func() time.Time
	canonical func(ctx context.Context, host string) string
	fetch     func(ctx context.Context, service, host string) (*Ticket, error)

	flight singleflight.Group
	mu     sync.Mutex // guards held
	held   map[string]*Ticket
}

// A Ticket lets one client use one service. It is not to be changed.
type Ticket struct {
	Realm  string // of the client
	Client types.PrincipalName
	Ticket messages.Ticket
	Key    types.EncryptionKey
	End    time.Time

	renew time.Time
}

// A principal is NAME/NAME@REALM in parts.
type principal struct {
	names []string
	realm string
}

func (p principal) String() string { return strings.Join(p.names, "/") + "@" + p.realm }

// ErrRefused is wrapped by errors that asking again does not mend.
var ErrRefused = errors.New("Kerberos refuses") //nolint:staticcheck // a name

// NewLogin reads krb5.conf and looks whether the keytab, or else the cache, can be used.
// It asks no KDC. The environment says where krb5.conf is.
func NewLogin(o Options) (*Login, error) { return newLogin(o, os.Getenv) }

func newLogin(o Options, getenv func(string) string) (*Login, error) {
	l := &Login{renew: o.Renew, now: time.Now, canonical: canonical, held: map[string]*Ticket{}}
	l.fetch = l.ask
	path := confPath(getenv)
	var err error
	if l.conf, err = readConf(path); err != nil {
		return nil, fmt.Errorf("read krb5.conf: %w (java.security.krb5.conf in KAFKA_OPTS, or KRB5_CONFIG, may say where it is)", err)
	}
	if _, err := l.conf.gokrb5(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if o.Principal != "" {
		if l.who, err = parsePrincipal(o.Principal, l.conf.defaults["default_realm"]); err != nil {
			return nil, err
		}
	}
	if o.UseCache {
		if l.cache, err = cachePath(o.Cache, getenv); err != nil {
			return nil, err
		}
	}
	if o.UseKeytab {
		if l.keytab, err = l.keytabPath(o.Keytab); err != nil {
			return nil, err
		}
	}
	return l, l.look()
}

func (l *Login) keytabPath(option string) (string, error) {
	path := option
	if path == "" {
		path = l.conf.defaults["default_keytab_name"]
	}
	for _, prefix := range []string{"FILE:", "file:"} {
		path = strings.TrimPrefix(path, prefix)
	}
	switch {
	case path == "":
		return "", errors.New("keyTab is missing: it names the file of the principal's keys")
	case l.who.names == nil:
		return "", errors.New("principal is missing: it says whose keys of the keytab to use")
	}
	return path, nil
}

// look tries the files.
func (l *Login) look() error {
	var err error
	if l.cache != "" {
		if _, err = l.cached(); err == nil {
			return nil
		}
	}
	if l.keytab != "" {
		_, _, kerr := readKeytab(l.keytab, l.who)
		if kerr != nil && err != nil {
			kerr = fmt.Errorf("%w; %w", err, kerr)
		}
		err = kerr
	}
	return err
}

// cached is what the cache has, if it is of whom it has to be.
func (l *Login) cached() (tgt, error) {
	t, err := readCache(l.cache)
	if err == nil {
		err = l.own(t)
	}
	return t, err
}

// own tells whether a ticket-granting ticket is of whom it has to be.
func (l *Login) own(t tgt) error {
	if l.who.names != nil && (t.client.realm != l.who.realm || !slices.Equal(t.client.names, l.who.names)) {
		return fmt.Errorf("the ticket cache %s is of %s, not of %s", l.cache, t.client, l.who)
	}
	return nil
}

func parsePrincipal(text, realm string) (principal, error) {
	name := text
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		name, realm = text[:i], text[i+1:]
	}
	p := principal{names: strings.Split(name, "/"), realm: realm}
	switch {
	case realm == "" && !strings.Contains(text, "@"):
		return p, fmt.Errorf("principal %s has no realm, and krb5.conf has no default_realm", text)
	case realm == "" || slices.Contains(p.names, "") || strings.ContainsAny(text, "\\*"):
		return p, fmt.Errorf("principal %q: want NAME@REALM or NAME/HOST@REALM", text)
	}
	return p, nil
}

// Ticket returns a ticket for a service at a host, of which it keeps one: most of a
// ticket's life it asks nobody, then the KDC. A ticket that has not ended serves while the
// KDC does not answer. When ctx ends, the KDC's answer is still waited for, in the name of
// whoever asks next: at most 5 s for each KDC and transport.
func (l *Login) Ticket(ctx context.Context, service, host string) (*Ticket, error) {
	host = l.canonical(ctx, host)
	name := service + "/" + host
	if t := l.holds(name); t != nil && l.now().Before(t.renew) {
		return t, nil
	}
	answer := l.flight.DoChan(name, func() (any, error) {
		t, err := guarded(func() (*Ticket, error) { return l.fetch(context.WithoutCancel(ctx), service, host) })
		if err == nil {
			l.hold(name, t)
		}
		return t, err
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the KDC: %w", context.Cause(ctx))
	case got := <-answer:
		if got.Err == nil {
			return got.Val.(*Ticket), nil
		}
		if t := l.holds(name); t != nil && l.now().Before(t.End) {
			return t, nil
		}
		return nil, fmt.Errorf("get a ticket for %s: %w", name, got.Err)
	}
}

func (l *Login) holds(name string) *Ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[name]
}

func (l *Login) hold(name string, t *Ticket) {
	now := l.now()
	t.renew = now
	if left := t.End.Sub(now); left > 0 {
		t.renew = now.Add(time.Duration(float64(left) * l.renew))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[name] = t
}

// canonical is how Java calls a host in a service's name: in lower case, an address by the
// name that it has, a name without a domain with it.
func canonical(ctx context.Context, host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	var found string
	switch {
	case net.ParseIP(host) != nil:
		if names, err := net.DefaultResolver.LookupAddr(ctx, host); err == nil && len(names) > 0 {
			found = names[0]
		}
	case !strings.Contains(host, "."):
		name, err := net.DefaultResolver.LookupCNAME(ctx, host)
		if err == nil && strings.HasPrefix(strings.ToLower(name), host+".") {
			found = name
		}
	}
	if found = strings.ToLower(strings.TrimSuffix(found, ".")); found != "" {
		return found
	}
	return host
}
